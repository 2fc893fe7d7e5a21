"""Random views of images: a part of each, brought to one size, with other brightness and contrast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch.nn import functional

from secondread.anomalies.anomaly import between, per_image, uniform
from secondread.detectors.contract import Batch
from secondread.settings.base import Settings

Share = Annotated[float, Field(gt=0, le=1)]
STRETCH = 4 / 3
"""The largest ratio of the shares of two axes."""
JITTERED = 0.8
"""Share of the views whose brightness and contrast are changed."""


class ViewSettings(Settings):
    """Of one kind of views."""

    area: tuple[Share, Share] = Field(
        (0.4, 1.0), description="least and largest share of the image's area (volume) that a view shows"
    )
    jitter: float = Field(
        0.4, ge=0, lt=1, description="contrast is multiplied by up to 1 ± this, half of it is added at most"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.area[0] > self.area[1]:
            raise ValueError("area: the least share comes first")
        return self


def random_view(
    batch: Batch, settings: ViewSettings, size: Sequence[int], generator: torch.Generator
) -> Batch:
    """A view of each image of a batch, `[N, C, *size]`, with its valid mask where the batch has one.

    The part has the share U(area) of the image's area and sides that differ by up to a third, lies anywhere
    within the image, and is brought to `size` by linear interpolation. In four of five views x becomes
    g (x - mean x) + mean x + b, g from U(1 - j, 1 + j) and b from U(-j / 2, j / 2). There is no mirror image:
    left and right are not alike in a body.
    """
    images = batch.images.float()
    rank = images.dim() - 2
    drawn = uniform(generator, images, 2 * rank + 4)
    area, chance, gain, offset = drawn[:, :4].unbind(dim=1)
    stretch = math.log(STRETCH) * (drawn[:, 4 : 4 + rank] - 0.5)
    stretch = stretch - stretch.mean(dim=1, keepdim=True)
    side = between(area, settings.area)[:, None] ** (1 / rank)
    side = (side * stretch.exp()).clamp_max(1)
    centre = (1 - side) * (2 * drawn[:, 4 + rank :] - 1)
    # axes last to first, in half lengths
    matrix = torch.cat((torch.diag_embed(side.flip(1)), centre.flip(1)[..., None]), dim=2)
    grid = functional.affine_grid(matrix, [*images.shape[:2], *size], align_corners=False)
    seen = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    valid = batch.valid
    if valid is not None:
        valid = functional.grid_sample(valid.float(), grid, mode="nearest", align_corners=False) > 0.5
    if settings.jitter:
        mean = seen.flatten(1).mean(dim=1)
        some = per_image(chance < JITTERED, rank)
        g = per_image(1 + settings.jitter * (2 * gain - 1), rank)
        b = per_image(settings.jitter * (offset - 0.5), rank)
        mean = per_image(mean, rank)
        seen = torch.where(some, g * (seen - mean) + mean + b, seen)
    return Batch(seen, valid)


QUARTERS = 4


def turned(batch: Batch, quarter: int) -> Batch:
    """Each image turned by so many quarters in the plane of its last two axes."""
    valid = None if batch.valid is None else batch.valid.rot90(quarter, (-2, -1))
    return Batch(batch.images.rot90(quarter, (-2, -1)), valid)
