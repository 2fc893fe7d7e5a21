"""Glow models for the flow benchmarks: ours, the peers' and the plain one, and what their arithmetic costs.

Imported by flows.py and flow_memory.py. The peers are built as their own examples build them: normflows'
MultiscaleFlow of GlowBlocks in its LU form, FrEIA's AllInOneBlocks with hard permutations behind its
downsampling. All have coupling networks of the same widths and kernels, and unit Gaussians.
"""

from __future__ import annotations

import math
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import FrEIA.modules
import torch
from torch import Tensor, nn

from secondread.flows.glow.glow import Glow

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "flows" / "glow"))

from normflows_glow import load_ours, make_normflows_glow
from plain_glow import PlainGlow, plain_glow


@dataclass(frozen=True)
class Form:
    """Shape of a Glow and of its batch."""

    channels: int
    size: tuple[int, ...]
    levels: int
    depth: int
    width: int
    batch: int

    @property
    def rank(self) -> int:
        return len(self.size)

    def __str__(self) -> str:
        size = "×".join(str(side) for side in (self.channels, *self.size))
        return f"{size} L{self.levels} K{self.depth} w{self.width} batch {self.batch}"

    def maps(self) -> list[tuple[int, int]]:
        """Channels and positions of each level."""
        found, channels = [], self.channels
        for number in range(1, self.levels + 1):
            channels *= 2**self.rank
            found.append((channels, math.prod(side >> number for side in self.size)))
            channels //= 2
        return found

    def images(self, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.rand(self.batch, self.channels, *self.size, generator=generator) - 0.5


FORMS = {
    "A": Form(1, (128, 128), levels=4, depth=8, width=128, batch=8),
    "B": Form(1, (64, 64), levels=3, depth=4, width=512, batch=4),
    "volume": Form(1, (32, 64, 64), levels=4, depth=8, width=128, batch=1),
}


def operations(form: Form) -> float:
    """Floating-point operations of log p of one image: convolutions and matrix products of the steps."""
    taps, total = 3**form.rank, 0
    for channels, positions in form.maps():
        mixing = channels * channels
        network = taps * (channels // 2) * form.width + form.width**2 + taps * form.width * channels
        total += 2 * form.depth * positions * (mixing + network)
    return float(total)


def parameter_count(form: Form) -> int:
    """Learned numbers with unit priors, affine couplings and without border channel."""
    taps, total = 3**form.rank, 0
    for channels, _ in form.maps():
        mixing = channels * channels + 2 * channels
        network = taps * (channels // 2) * form.width + form.width**2 + taps * form.width * channels
        total += form.depth * (mixing + network + 4 * form.width + 2 * channels)
    return total


def kept_bytes(form: Form, memory: str, *, network: int, anchors: int = 8) -> float:
    """Bytes per image that backpropagation keeps of the steps, by the memory mode.

    Per step and position: the float32 state; half the channels of h in the network's precision, `network`
    bytes each; in mode "store" both hidden layers too; in mode "invert" only one state per `anchors` steps.
    """
    total = 0.0
    for channels, positions in form.maps():
        state, h, hidden = 4 * channels, network * channels // 2, 2 * network * form.width
        match memory:
            case "recompute":
                each = form.depth * (state + h)
            case "store":
                each = form.depth * (state + h + hidden)
            case "invert":
                each = math.ceil(form.depth / anchors) * state
            case _:
                raise ValueError(f"no memory mode {memory}")
        total += each * positions
    return total


def make_ours(form: Form, *, alike: bool = True, memory: str = "recompute", seed: int = 0) -> Glow:
    """Ours. `alike`: without border channel and learned priors, as the peers are; else Glow in full."""
    generator = torch.Generator().manual_seed(seed)
    shape = {"levels": form.levels, "depth": form.depth, "width": form.width, "generator": generator}
    if alike:
        shape |= {"border": False, "split_prior": "unit", "top_prior": "unit"}
    glow = Glow(form.rank, form.channels, form.size, memory=memory, **shape)
    glow.initialise(form.images())
    with torch.no_grad():
        for level in glow.levels:
            for step in level.steps:  # away from zero, or no gradient would reach the hidden layers
                step.net.last_weight.normal_(0.0, 0.01 / math.sqrt(form.width), generator=generator)
    return glow


def make_normflows(form: Form, glow: Glow) -> nn.Module:
    """normflows with the weights of ours."""
    shape = {"levels": form.levels, "depth": form.depth, "width": form.width}
    warnings.filterwarnings("ignore", message="torch.lu is deprecated")
    theirs = make_normflows_glow(form.channels, form.size, **shape)
    load_ours(theirs, glow)
    return theirs


def make_plain(form: Form, glow: Glow) -> PlainGlow:
    """Torch convolutions and autograd on copies of the weights of ours."""
    made: PlainGlow = plain_glow(glow).as_leaves()
    return made


class FreiaGlow(nn.Module):
    """FrEIA's blocks in Glow's multi-scale order; splits and Gaussians as its users write them."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        levels = []
        for number, (channels, _) in enumerate(form.maps(), start=1):
            size = [side >> number for side in form.size]
            before = (channels // 4, *(2 * side for side in size))
            steps: list[nn.Module] = [FrEIA.modules.IRevNetDownsampling([before])]
            steps += [
                FrEIA.modules.AllInOneBlock([(channels, *size)], subnet_constructor=self._network(form.width))
                for _ in range(form.depth)
            ]
            levels.append(nn.ModuleList(steps))
        self.levels = nn.ModuleList(levels)

    @staticmethod
    def _network(width: int) -> object:
        def made(channels_in: int, channels_out: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(channels_in, width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(width, width, 1),
                nn.ReLU(),
                nn.Conv2d(width, channels_out, 3, padding=1),
            )

        return made

    def forward(self, x: Tensor) -> Tensor:
        """log p(x), `[N]`."""
        total = x.new_zeros(len(x))
        for number, steps in enumerate(self.levels, start=1):
            for step in steps:
                (x,), log_determinant = step([x])
                total = total + log_determinant
            z = x
            if number < len(self.levels):
                x, z = x.chunk(2, dim=1)
            total = total - 0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(dim=1)
        return total
