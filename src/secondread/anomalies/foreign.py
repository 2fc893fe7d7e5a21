"""What kinds that take something from another image have in common: which image, and which box of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from secondread.anomalies.anomaly import AnomalySettings, ShareRange, between, per_image, uniform
from secondread.anomalies.placement import below, centres, cuboids, valid_box
from secondread.errors import UserError


class SamePlaceSettings(AnomalySettings):
    """Of a box that is taken from the same place of another image."""

    alpha: ShareRange = Field((0.0, 1.0), description="weight of the other image; never 0 itself")
    levels: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None,
        description="alpha is one of k / levels, k = 1 to levels, instead: classes for a network",
    )
    half_width: ShareRange = Field((0.05, 0.2), description="of the patch, as share of the image's side")
    core: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8, description="share of each side, about its middle, in which centres lie"
    )


@dataclass(frozen=True)
class SamePlace:
    """What each image takes, and where.

    others  `[N, C, *S]`, the image that it takes from
    mask    bool `[N, 1, *S]`: the box, of valid positions; empty in an image that stays as it is
    alpha   float32 `[N, 1, 1, …]`
    valid   bool `[N, 1, *S]`, valid in the image and in the other one; None = everywhere
    """

    others: Tensor
    mask: Tensor
    alpha: Tensor
    valid: Tensor | None


def same_place(
    images: Tensor,
    generator: torch.Generator,
    settings: SamePlaceSettings,
    *,
    donors: Tensor | None,
    valid: Tensor | None,
    donors_valid: Tensor | None,
    framed: bool = False,
) -> SamePlace:
    """Draws one box for each image: `[c - w, c + w)` along each axis, cut off at the image's border, with c
    uniform in the `core` and w a whole number from `half_width` times the side (rounded, at least 1; its end
    left out), the same share along each axis. Where images are padded, image and side mean the box around the
    positions that are valid in it and in the other one. `framed` keeps centres off the outermost positions of
    that box, which a patch that is to join on to its surroundings cannot change."""
    rank = images.dim() - 2
    drawn = uniform(generator, images, 4 + rank)
    donor = chosen(drawn[:, 0], len(images), donors, settings.name)
    if donors is None:
        donors, donors_valid = images, valid
    if donors_valid is not None:
        valid = donors_valid[donor] if valid is None else valid & donors_valid[donor]
    box = valid_box(images, valid)
    centre = centres(drawn[:, 4:], box, settings.core)
    if framed:
        centre = torch.minimum(torch.maximum(centre, box.low + 1), box.low + (box.side - 2).clamp_min(1))
    narrow, wide = (torch.round(box.side * share) for share in settings.half_width)
    half = below(drawn[:, 1:2], narrow, wide).clamp_min(1)
    mask = cuboids(centre - half, centre + half, images.shape[2:])
    mask &= per_image(drawn[:, 2] < settings.share, rank)
    if valid is not None:
        mask &= valid
    above = 1 - drawn[:, 3]
    alpha = (
        between(above, settings.alpha)
        if settings.levels is None
        else (above * settings.levels).ceil() / settings.levels
    )
    return SamePlace(donors[donor], mask, per_image(alpha, rank), valid)


def chosen(drawn: Tensor, count: int, donors: Tensor | None, kind: str) -> Tensor:
    """Which donor each of `count` images gets, from U[0, 1) `[count]`: one of the donors, or another of the
    batch, each as likely. UserError, which names the `kind`, where there is no other image."""
    if donors is None and count == 1:
        raise UserError(
            f"{kind} takes a patch from another image, and the batch holds one; "
            "make batches of at least two images, or give donors"
        )
    others = count - 1 if donors is None else len(donors)
    if others == 0 and count:
        raise UserError(
            f"{kind} takes a patch from another image, and no donors are given; give at least one"
        )
    step = below(drawn, torch.zeros_like(drawn), torch.full_like(drawn, others)).long()
    if donors is not None:
        return step
    return (torch.arange(count, device=drawn.device) + 1 + step) % max(count, 1)
