"""Speed of a residual block against normflows' residual flow and FrEIA's i-ResNet layer.

    python benchmarks/speed/residual_flow.py [--rounds N] [--terms 4 10 20]

One process, contenders in turn, each round beginning with another one; a figure is the least CPU time over
the rounds, on one thread, all in float32. The allocator is pinned, as in flows.py.

    train   zero grad, power iteration of every layer, forward, backward on -log p
    score   x + g(x) and log det without gradient, weights normalised before

normflows' block is that of Chen et al.'s own code: the same network (Swish / 1.1, 3×3, 1×1, 3×3, the same
widths), coefficient and tolerance, one random vector, the Neumann series with gradients taken in the forward
pass (`reduce_memory`). Its `n_power_series` is one below ours, since n of it give the gradient n + 1 terms;
ours also gives the value of as many terms, theirs none in this mode. In scoring both have the same terms.

FrEIA's `IResNetLayer` (ELU, three 3×3 convolutions, which no option changes) gives log det no gradient: its
training would lower -log p(z) alone. So it is compared in scoring alone, with a block of ours with ELU whose
middle is 1×1, and by time per multiplication of the networks.

Before any timing, our log det is compared with autograd's on torch's own convolutions.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PINNED = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**34), "OMP_NUM_THREADS": "1"}
if __name__ == "__main__" and any(os.environ.get(name) != value for name, value in PINNED.items()):
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **PINNED})

import FrEIA.modules  # noqa: E402
import torch  # noqa: E402
from normflows.flows.residual import Residual, basic_logdet_estimator  # noqa: E402
from normflows.nets.lipschitz import LipschitzCNN  # noqa: E402
from normflows.utils import update_lipschitz  # noqa: E402
from torch import Tensor  # noqa: E402

from secondread.flows.residual.block import ResidualBlock  # noqa: E402
from secondread.flows.residual.function import residual_and_series  # noqa: E402

COEFFICIENT = 0.98


@dataclass(frozen=True)
class Form:
    """Channels, side, width and batch of one block."""

    channels: int
    side: int
    width: int
    batch: int

    def __str__(self) -> str:
        return f"{self.channels}×{self.side}×{self.side}, width {self.width}, batch {self.batch}"

    def images(self) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(self.batch, self.channels, self.side, self.side, generator=generator)


FORMS = (
    Form(4, 32, 64, 16),
    Form(16, 16, 64, 16),
    Form(64, 8, 64, 16),
    Form(4, 16, 128, 16),
    Form(1, 28, 512, 4),
)


def ours_of(form: Form, terms: int, activation: str = "lipswish") -> dict[str, Callable[[], object]]:
    torch.manual_seed(0)
    block = ResidualBlock(
        form.channels,
        (form.side, form.side),
        width=form.width,
        activation=activation,
        coefficient=COEFFICIENT,
    )
    x = form.images().movedim(0, 1).contiguous()
    coefficients = torch.ones(form.batch, terms, dtype=torch.float64)

    def signs() -> Tensor:
        return torch.where(torch.rand_like(x) < 0.5, -1.0, 1.0)

    def train() -> None:
        block.zero_grad(set_to_none=True)
        given = x.detach().requires_grad_()
        y, log = block.learn(given, signs(), coefficients, block.weights(update=True))
        (0.5 * y.square().sum() - log.sum()).backward()

    with torch.no_grad():
        weights = block.weights(update=False)

    def score() -> None:
        with torch.no_grad():
            residual_and_series(x, signs(), coefficients, block.network, weights, neumann=False)

    return {"train": train, "score": score}


def normflows_of(form: Form, terms: int) -> dict[str, Callable[[], object]]:
    torch.manual_seed(0)
    widths = [form.channels, form.width, form.width, form.channels]
    network = LipschitzCNN(
        widths, [3, 1, 3], lipschitz_const=COEFFICIENT, max_lipschitz_iter=None, lipschitz_tolerance=1e-3,
        init_zeros=False,
    )  # fmt: skip
    training = Residual(network, reverse=False, n_power_series=terms - 1).train()
    x = form.images()
    training(x)

    def train() -> None:
        training.zero_grad(set_to_none=True)
        update_lipschitz(training, None)
        z, log = training(x.detach().requires_grad_())
        (0.5 * z.square().sum() - log.sum()).backward()

    def score() -> None:
        # what its evaluation mode calls, which has 20 terms and more
        with torch.enable_grad():
            given = x.detach().requires_grad_()
            g = network(given)
            basic_logdet_estimator(g, given, terms, torch.randn_like(x), lambda k: 1.0, False)

    return {"train": train, "score": score}


def freia_of(form: Form, terms: int) -> dict[str, Callable[[], object]]:
    torch.manual_seed(0)
    size = (form.channels, form.side, form.side)
    layer = FrEIA.modules.IResNetLayer([size], internal_size=form.width, jacobian_iterations=terms)
    layer.lipschitz_correction()
    x = form.images()

    def score() -> None:
        with torch.enable_grad():
            layer([x.detach().requires_grad_()])

    return {"score": score}


def multiplications(form: Form, middle: int) -> int:
    """Of a network's forward pass at one position, with `middle` positions under its middle layer."""
    return 2 * 9 * form.channels * form.width + middle * form.width**2


def agreement(form: Form) -> float:
    """The largest difference of log det, in nats, from autograd's own series on torch's own convolutions."""
    torch.manual_seed(0)
    block = ResidualBlock(form.channels, (form.side, form.side), width=form.width, coefficient=COEFFICIENT)
    weights = block.weights(update=False)
    x = form.images()
    v = torch.where(torch.rand_like(x) < 0.5, -1.0, 1.0)
    with torch.no_grad():
        planes, signs = (part.movedim(0, 1).contiguous() for part in (x, v))
        terms = torch.ones(form.batch, 10, dtype=torch.float64)
        _, found, _ = residual_and_series(planes, signs, terms, block.network, weights, neumann=False)
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "flows" / "residual"))
    from plain_residual import plain

    given = x.clone().requires_grad_()
    g = plain(block, given.movedim(0, 1), weights).movedim(0, 1)
    u, log = v, torch.zeros(form.batch)
    for k in range(1, 11):
        (u,) = torch.autograd.grad(g, given, u, retain_graph=True)
        log += (-1) ** (k + 1) / k * (u * v).flatten(1).sum(dim=1)
    return float((found.sum(dim=0).flatten(1).sum(dim=1) - log).abs().max())


def least(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least CPU milliseconds of each."""
    best = dict.fromkeys(contenders, math.inf)
    names = list(contenders)
    for run in contenders.values():
        run()
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.process_time()
            contenders[name]()
            best[name] = min(best[name], 1000 * (time.process_time() - start))
    return best


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown processor"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--terms", type=int, nargs="+", default=[4, 10, 20])
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{processor()}, torch {torch.__version__}, one thread, CPU ms")
    print(f"log det differs from autograd's by {max(map(agreement, FORMS[:3])):.1e} nats at most")
    print("| block | terms | | ours | normflows | ratio | ours, ELU | FrEIA | ratio | per multiplication |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    ratios: dict[str, list[float]] = {"train": [], "score": []}
    for form in FORMS:
        for terms in given.terms:
            mine, theirs = ours_of(form, terms), normflows_of(form, terms)
            for what in ("train", "score"):
                running = {"ours": mine[what], "normflows": theirs[what]}
                if what == "score":
                    running["elu"] = ours_of(form, terms, "elu")["score"]
                    running["FrEIA"] = freia_of(form, terms)["score"]
                ms = least(running, given.rounds)
                ratios[what].append(ms["normflows"] / ms["ours"])
                row = f"| {form} | {terms} | {what} | {ms['ours']:.1f} | {ms['normflows']:.1f} | "
                row += f"**{ratios[what][-1]:.2f}** | "
                if what == "score":
                    ratio = ms["FrEIA"] / ms["elu"]
                    work = multiplications(form, 9) / multiplications(form, 1)
                    row += f"{ms['elu']:.1f} | {ms['FrEIA']:.1f} | {ratio:.2f} | {ratio / work:.2f} |"
                else:
                    row += "| | | |"
                print(row, flush=True)
    for what, found in ratios.items():
        mean = math.exp(sum(map(math.log, found)) / len(found))
        print(
            f"{what}: normflows takes {mean:.2f} times ours in the geometric mean, "
            f"{min(found):.2f} to {max(found):.2f}"
        )


if __name__ == "__main__":
    main()
