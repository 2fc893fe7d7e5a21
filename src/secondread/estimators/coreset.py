"""Coresets: few of many vectors that leave none of them far from all of the few, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from secondread.networks.precision import full_precision

AT_ONCE = 64
"""Candidates whose distances from all points are computed together."""
ROWS = 4096
"""Vectors whose distances from their stand-ins are measured together."""


def greedy_coreset(points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Which points `[n, d]` to keep, `[<= count]`, and for each point which of the kept is nearest, `[n]`.

    Farthest first: from the point farthest from the mean, each next one is that farthest from all before.
    The largest distance from a point to its nearest kept one is then at most twice the smallest that any
    `count` balls could have as their radius (T. F. Gonzalez, Clustering to minimize the maximum intercluster
    distance, Theoretical Computer Science 1985). It ends early where nothing but rounding is left to cover.

    Distances from the `AT_ONCE` farthest points are computed together, by a matrix product. The next ones are
    among these as long as the farthest of them is no nearer than the nearest of them was: all others were
    nearer, and distances only fall.
    """
    n = len(points)
    if count >= n:
        every = torch.arange(n, device=points.device)
        return every, every
    x = points - points.mean(dim=0)
    half = x.square().sum(dim=1) / 2
    rounding = 8 * torch.finfo(x.dtype).eps * half.max()
    chosen = torch.empty(0, dtype=torch.long, device=points.device)
    owner = torch.zeros(n, dtype=torch.long, device=points.device)
    distance = torch.full_like(half, torch.inf)  # half of its square
    while len(chosen) < count:
        if len(chosen):
            far, farthest = distance.topk(min(AT_ONCE, n))
        else:
            far, farthest = distance[:1], half.argmax()[None]
        found = torch.addmm(half, x[farthest], x.T, alpha=-1) + half[farthest][:, None]
        next_ones = _farthest_first(found[:, farthest].cpu(), far.cpu(), count - len(chosen), rounding.cpu())
        if not next_ones:
            break
        new = farthest[next_ones]
        nearest = found[next_ones].min(dim=0)
        owner = torch.where(nearest.values < distance, len(chosen) + nearest.indices, owner)
        distance = torch.minimum(distance, nearest.values)
        distance[new] = 0
        owner[new] = torch.arange(len(chosen), len(chosen) + len(new), device=owner.device)
        chosen = torch.cat((chosen, new))
    return chosen, owner


def _farthest_first(apart: Tensor, far: Tensor, most: int, rounding: Tensor) -> list[int]:
    """Which of T candidates come next: how far they are from each other `[T, T]`, and from the kept `[T]`."""
    least = far.min()
    following: list[int] = []
    while len(following) < most:
        place = int(far.argmax())
        if far[place] < least or far[place] <= rounding:
            break
        following.append(place)
        far = torch.minimum(far, apart[place])
        far[place] = -torch.inf
    return following


@dataclass(frozen=True)
class Block:
    """Vectors of the pool that stand for others: none of these is farther than `radius` from all of them.
    `level`: by how many coresets after one another."""

    level: int
    length: int
    radius: float


class CoresetPool:
    """A coreset of all rows `[*, D]` that are added, with never more than `most` of them held at once.

    While all rows fit, `finish` takes the greedy coreset of all of them at once. When the pool is full
    (merge and reduce): its new rows are replaced by their coreset of `reduced` rows, a block of level 1, and
    two blocks of one level by the coreset of both, one level higher (so do the last two of any level where
    blocks fill more than half of the pool).

    What it keeps: with r the smallest radius with which `reduced` balls could cover all rows ever added,
    each coreset moves a row's stand-in by at most 2r (`greedy_coreset`; a part of the rows needs no larger
    balls than all of them). A row passes at most `depth` coresets, so that it lies within 2r · depth of the
    last one, if that has `reduced` rows too. `depth` grows as log2 of how often the pool was full, while the
    levels fit into half of it (`most` / (2 `reduced`) of them). `radius` is what was measured on the way, a
    bound in the vectors' own space for whatever was added.

    Coresets are chosen on random projections `[D, d]` of the rows, which keep distances but for a few
    percent (W. B. Johnson, J. Lindenstrauss, 1984); the bound of 2r holds in that projection.
    Neither batches nor their sizes change what is chosen.
    """

    def __init__(self, most: int, reduced: int, projection: Tensor) -> None:
        if most < 4 * reduced:
            raise ValueError(f"a pool of {most} rows is too small to be reduced to {reduced} at a time")
        self.most = most
        self.reduced = reduced
        self.projection = projection
        self.rows = torch.empty(most, len(projection), device=projection.device)
        self.filled = 0
        self.seen = 0
        self.blocks: list[Block] = []

    @property
    def depth(self) -> int:
        return max((block.level for block in self.blocks), default=0)

    @property
    def radius(self) -> float:
        return max((block.radius for block in self.blocks), default=0.0)

    def add(self, rows: Tensor) -> None:
        self.seen += len(rows)
        while len(rows):
            if self.filled == self.most:
                self._make_room()
            part = rows[: self.most - self.filled]
            self.rows[self.filled : self.filled + len(part)] = part
            self.filled += len(part)
            rows = rows[len(part) :]

    def finish(self, count: int) -> Tensor:
        """The coreset of all, `[<= count, D]`, a tensor of its own."""
        self._reduce(0, count)
        return self.rows[: self.filled].clone()

    def _make_room(self) -> None:
        self._reduce(sum(block.length for block in self.blocks), self.reduced)
        while len(self.blocks) > 1 and (
            self.blocks[-1].level == self.blocks[-2].level or self.filled > self.most // 2
        ):
            self._reduce(sum(block.length for block in self.blocks[:-2]), self.reduced)

    def _reduce(self, start: int, count: int) -> None:
        """Replaces everything from row `start` on, blocks and new rows, by one block."""
        rows = self.rows[start : self.filled]
        with full_precision(rows):
            chosen, owner = greedy_coreset(rows @ self.projection, count)
        kept = rows[chosen]
        farthest = 0.0
        for part, owners in zip(rows.split(ROWS), owner.split(ROWS), strict=True):
            farthest = max(farthest, float((part - kept[owners]).square().sum(dim=1).max().sqrt()))
        self.rows[start : start + len(kept)] = kept
        self.filled = start + len(kept)
        before = []
        while sum(block.length for block in self.blocks) > start:
            before.append(self.blocks.pop())
        level = 1 + max((block.level for block in before), default=0)
        radius = farthest + max((block.radius for block in before), default=0.0)
        self.blocks.append(Block(level, len(kept), radius))
