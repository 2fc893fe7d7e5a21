"""A codebook that follows what it stands for by moving averages (van den Oord et al., 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from secondread.networks.precision import full_precision

EPSILON = 1e-5
"""Laplace smoothing of how often a code is used."""


@dataclass
class _Seen:
    """What a training batch says of each code: how often it was used, the sum of what it stood for, and a
    vector of the batch that takes its place if it is dead."""

    uses: Tensor
    sums: Tensor
    successors: Tensor


class Codebook(nn.Module):
    """`codes` vectors of `width` numbers; each place of a map `[N, width, *S]` is given the nearest.

        uses <- decay uses + (1 - decay) n        n how often each code was nearest in the batch
        sums <- decay sums + (1 - decay) s        s the sum of the vectors that it stood for
        code  = sums / uses, with uses smoothed so that none is 0

    A code whose uses in a batch are on average below `dead_below` becomes a random vector of the batch.
    Everything is a buffer: no gradient trains it. `see` notes a training batch, `update` applies it once.

    Sources: A. van den Oord, O. Vinyals, K. Kavukcuoglu, Neural discrete representation learning, NeurIPS
    2017 (appendix A.1); A. Razavi, A. van den Oord, O. Vinyals, Generating diverse high-fidelity images with
    VQ-VAE-2, NeurIPS 2019. Successors of dead codes as in Dhariwal et al., Jukebox, 2020.
    """

    codes: Tensor
    uses: Tensor
    sums: Tensor

    def __init__(self, codes: int, width: int, *, decay: float, dead_below: float) -> None:
        super().__init__()
        self.decay, self.dead_below = decay, dead_below
        first = torch.randn(codes, width)
        self.register_buffer("codes", first)
        self.register_buffer("uses", torch.ones(codes))
        self.register_buffer("sums", first.clone())
        self.seen: _Seen | None = None

    @torch.no_grad()
    def nearest(self, z: Tensor) -> Tensor:
        """The nearest code of each place of `[N, width, *S]`: `[N, *S]`, whole numbers."""
        with full_precision(z):
            rows = vectors(z)
            distance = self.codes.square().sum(dim=1) - 2 * rows @ self.codes.T
            return distance.argmin(dim=1).view(len(z), *z.shape[2:])

    def embed(self, indices: Tensor) -> Tensor:
        """The vectors of `[N, *S]`: `[N, width, *S]`."""
        return self.codes[indices].movedim(-1, 1)

    @torch.no_grad()
    def begin(self, z: Tensor, generator: torch.Generator) -> None:
        """The codes become vectors of a map, drawn by the generator."""
        drawn = draw(vectors(z), len(self.codes), generator)
        self.codes.copy_(drawn)
        self.sums.copy_(drawn)
        self.uses.fill_(1)

    @torch.no_grad()
    def see(self, z: Tensor, indices: Tensor, generator: torch.Generator) -> None:
        """Notes a training batch, in place of one that was not applied."""
        rows, chosen = vectors(z), indices.reshape(-1)
        uses = torch.zeros_like(self.uses).index_add_(0, chosen, torch.ones_like(rows[:, 0]))
        sums = torch.zeros_like(self.sums).index_add_(0, chosen, rows)
        self.seen = _Seen(uses, sums, draw(rows, len(self.codes), generator))

    @torch.no_grad()
    def update(self) -> None:
        """Applies what was noted, of all processes together."""
        seen, self.seen = self.seen, None
        if seen is None:
            return
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(seen.uses)
            distributed.all_reduce(seen.sums)
            distributed.broadcast(seen.successors, 0)
        self.uses.lerp_(seen.uses, 1 - self.decay)
        self.sums.lerp_(seen.sums, 1 - self.decay)
        dead = self.uses < self.dead_below
        self.uses[dead] = 2 * self.dead_below  # time to be used before it is dead again
        self.sums[dead] = 2 * self.dead_below * seen.successors[dead]
        total = self.uses.sum()
        smoothed = (self.uses + EPSILON) / (total + len(self.uses) * EPSILON) * total
        self.codes.copy_(self.sums / smoothed[:, None])


def vectors(z: Tensor) -> Tensor:
    """The places of `[N, width, *S]` as rows `[N P, width]`, float32."""
    return z.detach().float().movedim(1, -1).reshape(-1, z.shape[1])


def draw(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the rows, drawn with replacement."""
    chosen = torch.randint(len(rows), (count,), generator=generator, device=generator.device)
    return rows[chosen.to(rows.device)]
