"""Speed of Glow against normflows and FrEIA, and of volumes against plain torch convolutions.

    python benchmarks/speed/flows.py [--forms A B volume] [--rounds N]

All contenders run in one process, in turn, each round beginning with another one; a figure is the least CPU
time over the rounds, on one thread. The allocator is pinned (the script starts itself again with the
environment for it), since mapping pages for large activations would burden the peers more than ours. Each
peer runs in float32 and under bfloat16 autocast, in torch's usual order in memory and channels-last, and its
fastest form counts. Where this processor multiplies no faster in bfloat16, by the trial that `auto` goes by,
nobody runs in it: it is emulated there and takes minutes a step. A training step is zero grad, forward,
backward on the mean negative log- likelihood; an evaluation is log p without gradient in eval mode, the
second in a row: the weights are those of the first. Under autocast the peers round their state to bfloat16 at
every 1×1 convolution; ours does not. "full" is Glow with border channel and learned priors, which the peers
lack; every other row is the same function. The share of the peak is that of the fastest matrix product of the
same precision in this run, counting convolutions and matrix products of the steps alone and a training step
as three forward passes. log p of ours and of normflows on shared weights is compared first.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

PINNED = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**34), "OMP_NUM_THREADS": "1"}
if __name__ == "__main__" and any(os.environ.get(name) != value for name, value in PINNED.items()):
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **PINNED})

import torch  # noqa: E402
from flow_models import FORMS, Form, FreiaGlow, make_normflows, make_ours, make_plain, operations  # noqa: E402
from torch import Tensor, nn  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "machines"))
from floating_point import cpu_seconds, rates  # noqa: E402

from secondread.flows.glow.choice import told  # noqa: E402
from secondread.scoring.bf16_speed import bf16_speed, processor_name  # noqa: E402


@dataclass
class Contender:
    """One way of computing log p, what it last found, and its fastest times so far in seconds."""

    group: str
    name: str
    density: Callable[[Tensor], Tensor]
    parameters: list[Tensor]
    x: Tensor
    half: bool
    before: Callable[[], object] = field(default=lambda: None)
    train_seconds: float = math.inf
    eval_seconds: float = math.inf
    found: Tensor = field(default_factory=lambda: torch.empty(0))

    def precision(self) -> AbstractContextManager[object]:
        return torch.autocast("cpu", dtype=torch.bfloat16) if self.half else nullcontext()

    def train(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None
        with self.precision():
            loss = -self.density(self.x).mean()
        loss.backward()

    @torch.no_grad()
    def evaluate(self) -> None:
        with self.precision():
            self.found = self.density(self.x)

    @property
    def kind(self) -> str:
        return "bfloat16" if self.half else "float32"

    def run(self) -> None:
        self.before()
        self.train_seconds = min(self.train_seconds, cpu_seconds(self.train))
        for parameter in self.parameters:
            parameter.grad = None
        self.evaluate()  # weights that stay are prepared once, so they are ready when the clock starts
        self.eval_seconds = min(self.eval_seconds, cpu_seconds(self.evaluate))


TimeOf = Callable[[Contender], float]


def ours(form: Form, *, alike: bool) -> list[Contender]:
    glow = make_ours(form, alike=alike)
    x, parameters = form.images(), list(glow.parameters())
    found = []
    for memory in ("recompute", "store", "invert") if alike else ("recompute",):
        for half in (True, False):
            name = f"ours, {memory}{'' if alike else ', full'}"

            def before(memory: str = memory) -> None:
                glow.memory = memory

            group = "ours" if alike else "full"
            found.append(Contender(group, name, glow.log_density, parameters, x, half, before))
    return found


def others(
    group: str, model: nn.Module, density: Callable[[nn.Module], Callable], x: Tensor
) -> list[Contender]:
    """A model of a peer in its four forms."""
    found = []
    for channels_last in (False, True):
        own = copy.deepcopy(model).eval()
        if channels_last:
            own = own.to(memory_format=torch.channels_last)
            x = x.contiguous(memory_format=torch.channels_last)
        for half in (False, True):
            name = group + (", channels-last" if channels_last else "")
            found.append(Contender(group, name, density(own), list(own.parameters()), x, half))
    return found


def plain(form: Form) -> list[Contender]:
    """The plain Glow on the weights of ours, in its four forms."""
    found = []
    kind = torch.channels_last if form.rank == 2 else torch.channels_last_3d
    for channels_last in (False, True):
        model, x = make_plain(form, make_ours(form)), form.images()
        if channels_last:
            x = x.contiguous(memory_format=kind)
            for parameter in model.parameters():
                if parameter.dim() == 2 + form.rank:
                    parameter.data = parameter.data.contiguous(memory_format=kind)
        for half in (False, True):
            name = "plain torch" + (", channels-last" if channels_last else "")
            found.append(Contender("plain torch", name, model.log_density, model.parameters(), x, half))
    return found


def contenders(form: Form) -> list[Contender]:
    found = [*ours(form, alike=True), *ours(form, alike=False)]
    if form.rank == 3:
        return [*found, *plain(form)]
    glow, x = make_ours(form), form.images()
    theirs = make_normflows(form, glow).eval()
    with torch.no_grad():
        expected, own = theirs.log_prob(x, None).double(), glow.log_density(x)
    apart = float((own - expected).abs().max())
    print(
        f"log p on shared weights: ours {float(own.mean()):.3f}, normflows {float(expected.mean()):.3f} nats"
    )
    print(
        f"  apart by up to {apart:.2g} nats, {apart / glow.dimensions / math.log(2):.1g} bits per dimension"
    )
    if apart > 1e-5 * float(expected.abs().max()):
        raise SystemExit("ours and normflows disagree: their times cannot be compared")
    found += others("normflows", theirs, lambda model: lambda x: model.log_prob(x, None), x)
    return found + others("FrEIA", FreiaGlow(form), lambda model: model, x)


def measure(form: Form, rounds: int) -> list[Contender]:
    found = [one for one in contenders(form) if bf16_speed().speed.wins or not one.half]
    for one in found:  # warm-up
        one.before()
        one.train()
        one.evaluate()
    for number in range(rounds):
        start = number * len(found) // max(1, rounds)
        for one in (*found[start:], *found[:start]):
            one.run()
    return found


def report(form: Form, found: list[Contender], peaks: dict[bool, float]) -> None:
    work, dimensions = operations(form) * form.batch, form.channels * math.prod(form.size)
    print(f"{form}: {work / 1e9:.1f} Gflop forward; drift of log p in bits per dimension")
    print(f"  {'':29s}{'':10s}{'train':>9s}{'of peak':>9s}{'eval':>9s}{'of peak':>9s}{'drift':>9s}")
    for one in found:
        exact = next(other for other in found if other.group == one.group and not other.half)
        drift = float((one.found - exact.found).abs().max()) / dimensions / math.log(2)
        print(
            f"  {one.name:29s}{one.kind:10s}"
            f"{1000 * one.train_seconds:6.0f} ms{3 * work / one.train_seconds / peaks[one.half]:9.1%}"
            f"{1000 * one.eval_seconds:6.0f} ms{work / one.eval_seconds / peaks[one.half]:9.1%}{drift:9.1g}"
        )
    training: TimeOf = lambda one: one.train_seconds  # noqa: E731
    evaluation: TimeOf = lambda one: one.eval_seconds  # noqa: E731
    for half in sorted({one.half for one in found}, reverse=True):
        compare("training", found, training, half=half)
        compare("evaluation", found, evaluation, half=half)
    if form.rank == 3:
        base = next(one for one in found if one.group == "plain torch" and not one.half)
        half = any(one.half for one in found)
        mine = [one for one in found if one.group == "ours" and one.half == half]
        times = ", ".join(f"{one.name} {base.train_seconds / one.train_seconds:.2f}" for one in mine)
        print(f"  {mine[0].kind} against plain torch in float32: training {times}")
        print(f"    evaluation {base.eval_seconds / min(one.eval_seconds for one in mine):.2f}")


def compare(what: str, found: list[Contender], time_of: TimeOf, *, half: bool) -> None:
    """How many times faster ours is than the fastest other: of all where `half`, else of float32 alone."""
    mine = [one for one in found if one.name.startswith("ours") and one.half == half]
    others = [one for one in found if not one.name.startswith("ours") and (half or not one.half)]
    best = min(others, key=time_of)
    ratios = ", ".join(
        f"{one.name.removeprefix('ours, ')} {time_of(best) / time_of(one):.2f}" for one in mine
    )
    print(f"  {what}, ours in {mine[0].kind} against {best.name} in {best.kind}: {ratios}")


def fastest(half: bool) -> float:
    """Floating-point operations per CPU second of the faster of two libraries."""
    return max(rates(torch.bfloat16 if half else torch.float32).values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--forms", nargs="+", choices=list(FORMS), default=list(FORMS))
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{processor_name()}; compiled network in {told()}")
    if not bf16_speed().speed.wins:
        print("bfloat16 is no faster than float32 on this processor: nobody runs in it")
    for name in given.forms:
        form = FORMS[name]
        before = {half: fastest(half) for half in (False, True)}
        found = measure(form, given.rounds)
        peaks = {half: max(rate, fastest(half)) for half, rate in before.items()}
        single, half_rate = peaks[False] / 1e9, peaks[True] / 1e9
        print(f"fastest library: float32 {single:.0f}, bfloat16 {half_rate:.0f} Gflop per CPU second")
        report(form, found, peaks)


if __name__ == "__main__":
    main()
