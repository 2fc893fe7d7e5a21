"""Nearest patches looked for from coarse to fine: only inside the most alike coarse cells of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from secondread.networks.precision import full_precision

NUMBERS = 2**23
"""Of one intermediate result, at most: 32 MiB."""


@dataclass(frozen=True)
class CoarseCells:
    """Which positions lie in one coarse cell.

    of_patches    `[P]`: the cell of each position of an image's map
    of_reference  `[Q]`: that of each position which is kept of a reference image
    count         of cells
    matches       cells of a reference image that a cell's patches are compared with
    """

    of_patches: Tensor
    of_reference: Tensor
    count: int
    matches: int

    @classmethod
    def of(cls, grid: Sequence[int], side: int, kept: Tensor, matches: int) -> CoarseCells:
        """Cells of `side` positions per axis of a map of `grid`, of whose flattened positions `kept` are
        kept."""
        cells = torch.zeros(tuple(grid), dtype=torch.long, device="cpu")
        count = 1
        for axis, length in enumerate(grid):
            along = torch.arange(length, device="cpu") // side
            shape = [-1 if other == axis else 1 for other in range(len(grid))]
            cells = cells * (int(along[-1]) + 1) + along.view(shape)
            count *= int(along[-1]) + 1
        flat = cells.flatten()
        return cls(flat, flat[kept], count, min(matches, count))

    def least_distances(self, patches: Tensor, reference: Tensor, there: Tensor) -> Tensor:
        """For each patch `[P, D]` the Euclidean distance to the nearest patch of each reference image that
        lies in one of the `matches` cells most alike to its own, `[P, R]`.

        reference  `[R, Q, D]`, of any precision
        there      bool `[R, Q]`: False where there is no image; each image has some True

        A cell is the mean of its patches, of unit length; cells are alike by their cosine. With as many
        matches as cells the distances are those to the nearest patch of all, and otherwise at least so large.
        """
        with full_precision(patches):
            x = patches.float()
            members = self._members.to(x.device)
            most = members.shape[1]
            everywhere = torch.ones(1, len(x), dtype=torch.bool, device=x.device)
            own = self._means(x[None], everywhere, self.of_patches)[0][0]
            found = x.new_empty(len(x), len(reference))
            together = max(1, NUMBERS // (self.matches * most * x.shape[1] + reference[0].numel()))
            rows = torch.arange(len(reference), device=x.device)
            for part in rows.split(together):
                y, seen = reference[part].to(x), there[part]
                means, some = self._means(y, seen, self.of_reference)
                alike = torch.einsum("cd,rkd->crk", own, means).masked_fill(~some, -torch.inf)
                chosen = alike.topk(self.matches, dim=2).indices
                for cell in self.of_patches.unique().tolist():
                    mine = self.of_patches.to(x.device) == cell
                    places = members[chosen[cell]].flatten(1)
                    near = y.gather(1, places.clamp_min(0)[..., None].expand(-1, -1, y.shape[2]))
                    counts = (places >= 0) & seen.gather(1, places.clamp_min(0))
                    apart = torch.cdist(x[mine][None].expand(len(part), -1, -1), near)
                    least = apart.masked_fill(~counts[:, None], torch.inf).amin(dim=2)
                    found[mine.nonzero()[:, 0][:, None], part] = least.T
            return found

    @cached_property
    def _members(self) -> Tensor:
        """The kept positions of each cell, `[count, most]`, -1 where it has fewer."""
        cells = self.of_reference
        sizes = torch.bincount(cells, minlength=self.count)
        order = cells.argsort(stable=True)
        ranks = torch.arange(len(cells)) - (sizes.cumsum(0) - sizes)[cells[order]]
        members = torch.full((self.count, int(sizes.max())), -1)
        members[cells[order], ranks] = order
        return members

    def _means(self, y: Tensor, there: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Of maps `[R, Q, D]` the cells' means, of unit length, `[R, count, D]`, and which have one."""
        cells = cells.to(y.device)
        sums = y.new_zeros(len(y), self.count, y.shape[2])
        sums.index_add_(1, cells, y * there[..., None])
        counts = y.new_zeros(len(y), self.count).index_add_(1, cells, there.to(y))
        return functional.normalize(sums, dim=2), counts > 0
