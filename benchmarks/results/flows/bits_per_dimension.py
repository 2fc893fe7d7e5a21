"""Bits per dimension of a residual flow and of a Glow of as many parameters, on images of a MedMNIST file.

    python benchmarks/results/flows/bits_per_dimension.py MEDMNIST/pneumoniamnist.npz [--steps N] [--depth K]

Both learn from all images of the split `train` (8-bit, grey, 28×28), without labels, for as many steps with
the same batches: Adam, its rate rising for a twentieth of the steps and falling to zero by a cosine. Glow has
the width that brings its parameters nearest to the residual flow's. The figure is -log2 P / D over the split
`test`, with one draw of dequantisation noise, and its standard error over images; for the residual flow log P
is an estimate with 20 terms and more. Seconds are CPU seconds of the training.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from secondread.flows.glow.dequantisation import Dequantisation
from secondread.flows.glow.glow import Glow
from secondread.flows.image_flow import ImageFlow
from secondread.flows.residual.residual_flow import ResidualFlow

BATCH = 32
QUANTISED = Dequantisation(8)


def read(file: Path, split: str) -> Tensor:
    """Images `[N, 1, 28, 28]` in [0, 1]."""
    with np.load(file, allow_pickle=False) as found:
        return torch.from_numpy(found[f"{split}_images"]).float()[:, None] / 255


def size_of(flow: ImageFlow) -> int:
    return sum(parameter.numel() for parameter in flow.parameters())


def glow_as_large_as(parameters: int, depth: int) -> Glow:
    def made(width: int) -> Glow:
        return Glow(2, 1, (28, 28), levels=2, depth=depth, width=width)

    return made(min(range(8, 257, 4), key=lambda width: abs(size_of(made(width)) - parameters)))


def log_density(flow: ImageFlow, images: Tensor, generator: torch.Generator) -> Tensor:
    y = QUANTISED.noisy(images, torch.rand(images.shape, generator=generator))
    shape = flow.random_numbers
    u = None if shape is None else torch.rand(len(y), *shape, generator=generator)
    return QUANTISED.bits_per_dimension(flow.log_density(y, u), flow.dimensions)


def batches(images: Tensor, steps: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        yield images[torch.randint(len(images), (BATCH,), generator=generator)]


def learn(flow: ImageFlow, images: Tensor, steps: int, rate: float) -> float:
    """CPU seconds."""
    generator = torch.Generator().manual_seed(0)
    flow.initialise(QUANTISED.noisy(images[:256], torch.rand(images[:256].shape, generator=generator)))
    optimiser = torch.optim.Adam(flow.parameters(), lr=rate)
    warm = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda n: min((n + 1) / warm, 0.5 * (1 + math.cos(math.pi * n / steps)))
    )
    start = time.process_time()
    flow.train()
    for batch in batches(images, steps):
        loss = log_density(flow, batch, generator).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 10.0)
        optimiser.step()
        schedule.step()
    flow.eval()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--rate", type=float, default=2e-3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    train, test = read(given.file, "train"), read(given.file, "test")
    residual = ResidualFlow(2, 1, (28, 28), levels=2, depth=given.depth, width=64)
    models = {"residual flow": residual, "glow": glow_as_large_as(size_of(residual), given.depth)}
    print(f"{given.steps} steps of {BATCH} of {len(train)} images; {len(test)} of the split test")
    print("| flow | parameters | bits per dimension | its standard error | training, CPU s |")
    print("| --- | --- | --- | --- | --- |")
    for name, flow in models.items():
        seconds = learn(flow, train, given.steps, given.rate)
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            bits = torch.cat([log_density(flow, part, generator) for part in test.split(64)])
        error = float(bits.std()) / math.sqrt(len(bits))
        count = f"{size_of(flow):,}"
        print(f"| {name} | {count} | {float(bits.mean()):.3f} | {error:.3f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
