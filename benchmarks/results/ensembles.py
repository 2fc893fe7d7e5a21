"""Training K networks of an ensemble in one batched pass against one after another.

A training step (forward, AE-U's loss, backward, Adam) of K autoencoders of DDAD's shape, batch 64 of 64×64.
Both ways start from the same parameters and are timed in turn within one run, so that a noisy machine bends
them alike; the ratio is that of the medians of CPU seconds of this process.

    OMP_NUM_THREADS=1 python benchmarks/results/ensembles.py --threads 1 --rounds 7
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from secondread.networks.ensemble import Ensemble
from secondread.networks.reconstruction import Autoencoder
from secondread.scoring.device import Precision, autocast, place, to_device


def training_step(ensemble: Ensemble, x: Tensor, precision: Precision) -> Callable[[], None]:
    optimiser = torch.optim.Adam(ensemble.parameters(), 5e-4, (0.5, 0.999), fused=True)

    def step() -> None:
        with autocast(x.device, precision):
            mean, log_variance = ensemble(x).float().chunk(2, dim=2)
            loss = ((-log_variance).exp() * (mean - x).square() + log_variance).mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def seconds(work: Callable[[], None], device: torch.device) -> float:
    """Of this process's CPU time; wall-clock time where the work runs on another device."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    begun = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--size", type=int, nargs="+", default=[64, 64])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precisions", nargs="+", default=["float32", "bf16"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device, rank = torch.device(options.device), len(options.size)
    x = to_device(torch.rand(options.batch, 1, *options.size), device)
    start = Ensemble(
        lambda: Autoencoder(rank, 1, 2, options.size, hidden=options.hidden),
        options.members,
        run="sequential",
    )
    place(start, device)
    for precision in options.precisions:
        steps = {}
        for run in ("sequential", "batched"):
            ensemble = copy.deepcopy(start)
            ensemble.run = run
            steps[run] = training_step(ensemble, x, precision)
            steps[run]()
        found: dict[str, list[float]] = {run: [] for run in steps}
        for _ in range(options.rounds):
            for run, step in steps.items():
                found[run].append(seconds(step, device))
        median = {run: statistics.median(values) for run, values in found.items()}
        print(
            f"{precision}, {options.threads} threads, {options.members} networks: one after another "
            f"{1000 * median['sequential']:.0f} ms a step, batched {1000 * median['batched']:.0f} ms, "
            f"ratio batched / sequential {median['batched'] / median['sequential']:.2f}"
        )


if __name__ == "__main__":
    main()
