"""Mutual scores: how near a patch comes to the images of other patients, and to how many of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secondread.estimators.coarse_to_fine import CoarseCells
from secondread.estimators.reservoir import add_to_reservoir
from secondread.networks.precision import full_precision

NUMBERS = 2**23
"""Of one intermediate result, at most: 32 MiB."""


class MutualReference(nn.Module):
    """The patches of reference images at one level, in several forms (neighbourhoods) each.

    patches  `[R, forms, Q, D]`, float16 or float32
    there    bool `[R, Q]`: False where there is no image; each image has some True

    Both are buffers, empty until `keep` gives them rows.
    """

    def __init__(self, forms: int, positions: int, dimensions: int, precision: torch.dtype) -> None:
        super().__init__()
        self.patches: Tensor
        self.there: Tensor
        self.register_buffer("patches", torch.empty(0, forms, positions, dimensions, dtype=precision))
        self.register_buffer("there", torch.empty(0, positions, dtype=torch.bool))

    @property
    def bytes_per_image(self) -> int:
        return self.patches.shape[1:].numel() * self.patches.itemsize

    def keep(self, patches: Tensor, there: Tensor, seen: int, most: int) -> None:
        """Some of these images `[n, forms, Q, D]`, after `seen` others went by: a sample of `most`."""
        self.patches, _ = add_to_reservoir(self.patches, seen, patches.to(self.patches), most)
        there = there | ~there.any(dim=1, keepdim=True)
        self.there, _ = add_to_reservoir(self.there, seen, there, most)

    def forward(
        self,
        x: Tensor,
        patients: Tensor,
        left_out: Tensor,
        share: float,
        cells: CoarseCells | None = None,
    ) -> Tensor:
        """The mutual scores of an image's patches `[forms, P, D]`, averaged over the forms: `[P]`. With
        `cells` the nearest patches are looked for from coarse to fine."""
        least = least_distances if cells is None else cells.least_distances
        found = [
            mutual_scores(least(own, self.patches[:, form], self.there), patients, left_out, share)
            for form, own in enumerate(x)
        ]
        return torch.stack(found).mean(dim=0)


def least_distances(patches: Tensor, reference: Tensor, there: Tensor) -> Tensor:
    """For each patch `[P, D]` the Euclidean distance to the nearest patch of each reference image, `[P, R]`.

    reference  `[R, Q, D]`, of any precision
    there      bool `[R, Q]`: False where there is no image; each image has some True

    By |x - y|² = |x|² - 2 x·y + |y|², in float32 and in bounded memory.
    """
    with full_precision(patches):
        x = patches.float()
        count = max(1, NUMBERS // (len(x) * reference.shape[1] + reference[0].numel()))
        found = []
        for part, seen in zip(reference.split(count), there.split(count), strict=True):
            y = part.to(x).flatten(0, 1)
            half = (y.square().sum(dim=1) / 2).masked_fill(~seen.flatten(), torch.inf)
            apart = torch.addmm(half, x, y.T, alpha=-1).view(len(x), len(part), -1)
            found.append(apart.amin(dim=2))
        squares = 2 * torch.cat(found, dim=1) + x.square().sum(dim=1, keepdim=True)
        return squares.clamp_min(0).sqrt()


def mutual_scores(least: Tensor, patients: Tensor, left_out: Tensor, share: float) -> Tensor:
    """`[P]`: the mean of the smallest `share` of the distances of each patch to the other patients.

    least     `[P, R]`, of each patch to each reference image
    patients  `[R]`, below R: whose image each is. The distance to a patient is the least to any image of
              theirs, so that a patient with many images counts once
    left_out  bool `[R]`: images that do not count. ValueError where none is left

    At least one distance is averaged; the share of n patients is rounded down, as the authors' code has it.
    """
    kept = patients[~left_out]
    if not len(kept):
        raise ValueError("no reference image of another patient is left")
    known, column = kept.unique(return_inverse=True)
    nearest = least[:, ~left_out]
    if len(known) < len(kept):
        empty = nearest.new_full((len(least), len(known)), torch.inf)
        nearest = empty.scatter_reduce(1, column.expand_as(nearest), nearest, "amin")
    count = max(1, int(share * len(known)))
    return nearest.topk(count, dim=1, largest=False).values.mean(dim=1)


def smoothed_score(score: Tensor, likeness: Tensor, scores: Tensor, most: int) -> Tensor:
    """A score averaged with those of the most alike reference images: over k = 1 … `most`, the mean of

        (s + sum over the k - 1 most alike of w_j s_j) / (1 + sum over them of w_j)

    score     `[]`, s
    likeness  `[R]`, w: cosines to the reference images, those below 0 taken for 0; scores `[R]`, s_j

    Of fewer than `most` - 1 reference images all are taken.
    """
    nearest = likeness.clamp_min(0).topk(min(most - 1, len(likeness)))
    weight = torch.cat((score.new_ones(1), nearest.values))
    total = (weight * torch.cat((score[None], scores[nearest.indices]))).cumsum(0)
    return (total / weight.cumsum(0)).mean()
