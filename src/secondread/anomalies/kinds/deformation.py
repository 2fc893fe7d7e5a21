"""Deformations: a region is grown or shrunk by a smooth displacement, as by a mass or by atrophy."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from torch.nn import functional

from secondread.anomalies.anomaly import (
    Anomalies,
    AnomalySettings,
    MakeAnomalies,
    Share,
    ShareRange,
    between,
    per_image,
    refuse_misfits,
    uniform,
)
from secondread.anomalies.ellipses import ellipse_distance, turned_anyhow
from secondread.anomalies.placement import centres, positions, valid_box
from secondread.anomalies.values import values_of

LEAST = 1.5
"""Half-axis in positions, at least: in a smaller region no position would move."""
ROUNDING = 1e-5
"""Share of the image's range that interpolation may be off by: no change."""


class DeformationSettings(AnomalySettings):
    name: Literal["deformation"] = "deformation"
    radius: ShareRange = Field((0.08, 0.25), description="of each half-axis, as share of the image's side")
    strength: ShareRange = Field((0.4, 0.8), description="how far the scale in the middle is from 1")
    grow: Share = Field(0.5, description="probability that the middle is enlarged, and not made smaller")
    core: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8, description="share of each side, about its middle, in which centres lie"
    )
    visible: NonNegativeFloat = Field(
        0.1,
        description="a region is a target if something in it changes by so many deviations of the image",
    )
    target: Literal["mask", "displacement"] = Field(
        "mask", description="1 in the region, or the displacement as share of the greatest one"
    )


class Deformations(MakeAnomalies):
    """x'(q) = x(c + (q - c)(1 - b a (1 - r²)²)) for r < 1, x'(q) = x(q) elsewhere.

    c is the centre of an ellipse or ellipsoid, r the distance from it in its half-axes (each from `radius`
    times the side, turned anyhow), a from `strength`, b = 1 where the middle grows and -1 where it shrinks;
    values between positions are interpolated (bi- or trilinearly), so none is outside the image's own range.
    The displacement and its slope are 0 at the region's edge, and it never folds:
    d/dr of r (1 - b a (1 - r²)²) = 1 - b a (1 - r²)(1 - 5 r²) > 0 for a < 1. One region in each changed
    image. Positions that are not valid, or would take from such, stay as they are.

    mask    where x' differs from x
    target  in the mask, 1 or |q' - q| over its greatest; 0 in regions in which nothing changes by `visible`
            standard deviations of the image, such as in even grey

    No paper: the simplest change of shape without a change of tissue.
    """

    Settings = DeformationSettings
    settings: DeformationSettings
    title = "deformations"
    paper = ""

    def __call__(
        self,
        images: Tensor,
        generator: torch.Generator,
        *,
        donors: Tensor | None = None,
        valid: Tensor | None = None,
        donors_valid: Tensor | None = None,
    ) -> Anomalies:
        """See `MakeAnomalies`. Donors are not used. ValueError for images of other than two or three axes."""
        refuse_misfits(images, valid, donors, donors_valid)
        settings, rank, size = self.settings, images.dim() - 2, images.shape[2:]
        if rank not in (2, 3):
            raise ValueError(f"deformation takes images of two or three axes, and these have {rank}")
        box = valid_box(images, valid)
        drawn = uniform(generator, images, 3 + 2 * rank)
        axes = turned_anyhow(generator, len(images), rank, images.device)
        least = LEAST / box.side.amin(dim=1, keepdim=True).clamp_min(1)
        radii = torch.maximum(between(drawn[:, 3 + rank :], settings.radius), least)
        centre = centres(drawn[:, 3 : 3 + rank], box, settings.core)
        square = ellipse_distance(centre, radii, axes, box, size).square_()
        strength = between(drawn[:, 1], settings.strength)
        strength = torch.where(drawn[:, 2] < settings.grow, strength, -strength)
        way = (1 - square).clamp_min(0).square_()
        grid = places(centre, 1 - per_image(strength, rank) * way, size)
        lowest, highest, deviation = values_of(images, valid)
        raised = images - lowest if valid is None else (images - lowest).where(valid, 0)
        changed = (lowest + sampled(raised, grid)).clamp(lowest, highest).to(images.dtype)
        change = (changed - images).abs().amax(dim=1, keepdim=True)
        mask = (change > ROUNDING * (highest - lowest)) & (square < 1)
        mask &= per_image(drawn[:, 0] < settings.share, rank)
        if valid is not None:
            mask &= valid & (sampled(valid.to(images.dtype), grid) > 1 - 1e-4)
        greatest = per_image((change * mask).flatten(1).amax(dim=1), rank)
        seen = mask & (greatest >= settings.visible * deviation)
        target = seen.float()
        if settings.target == "displacement":
            away = torch.zeros_like(way)
            for axis, position in enumerate(positions(size, images.device)):
                away = away + (position - per_image(centre[:, axis], rank)).square()
            moved = way * away.sqrt()
            target = target * moved / per_image(moved.flatten(1).amax(dim=1).clamp_min(1e-6), rank)
        return Anomalies(torch.where(mask, changed, images), mask, target)


def places(centre: Tensor, scale: Tensor, size: torch.Size) -> Tensor:
    """c + (q - c) scale as `grid_sample` takes it: axes last to first, -1 and 1 the outer positions."""
    found = []
    for axis, position in enumerate(positions(size, centre.device)):
        middle = per_image(centre[:, axis], len(size))
        at = middle + (position - middle) * scale
        found.append(at[:, 0] * (2 / max(size[axis] - 1, 1)) - 1)
    return torch.stack(found[::-1], dim=-1)


def sampled(images: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(images, grid.to(images.dtype), padding_mode="border", align_corners=True)
