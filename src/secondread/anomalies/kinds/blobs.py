"""Blobs: smooth bright and dark ellipses, or ellipsoids, of random size, place and contrast."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from secondread.anomalies.anomaly import (
    Anomalies,
    AnomalySettings,
    MakeAnomalies,
    Range,
    Share,
    ShareRange,
    between,
    per_image,
    refuse_misfits,
    uniform,
)
from secondread.anomalies.ellipses import (
    as_far_as_it_shows,
    ellipse_distance,
    soft_edge,
    turned_anyhow,
)
from secondread.anomalies.placement import Box, centres, valid_box
from secondread.anomalies.values import values_of
from secondread.settings.base import Draws


class BlobSettings(AnomalySettings):
    name: Literal["blobs"] = "blobs"
    most: Draws = Field(3, description="blobs in a changed image, at most")
    radius: ShareRange = Field((0.03, 0.15), description="of each half-axis, as share of the image's side")
    contrast: Range = Field((0.5, 2.0), description="of a blob's middle, in standard deviations of the image")
    bright: Share = Field(0.5, description="probability that a blob is brighter than what it lies on")
    edge: ShareRange = Field((0.2, 0.8), description="half the width of the soft edge, in radii")
    core: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8, description="share of each side, about its middle, in which centres lie"
    )
    visible: NonNegativeFloat = Field(
        0.1, description="smallest change that is a target, in standard deviations of the image"
    )
    target: Literal["mask", "profile"] = Field(
        "mask", description="1 where a blob has at least half its contrast, or its share of the contrast"
    )


class Blobs(MakeAnomalies):
    """x' = clip(x + s Σ_k b_k c_k p_k(r_k)), for each changed image with 1 to `most` blobs k.

        p(r) = 1 for r < 1 - e,  0 for r > 1 + e,  ½ (1 + cos(π (r - 1 + e) / 2e)) between

    s is the standard deviation of the image, b = ±1, c from `contrast`, e from `edge`; r is the distance from
    the blob's centre in its half-axes, each from `radius` times the side and turned anyhow, so r = 1 is the
    ellipse on which half of the contrast is left. The sum is clipped to the values that the image has, so
    that a blob shows by its shape and never by values of its own. Positions that are not valid stay as
    they are and do not count; side means that of the box around the valid ones. Channels change alike.

    mask    where x' differs from x
    target  where they differ by `visible` s or more: whether the largest p is at least ½, or that p; so not
            where the sum was clipped away, such as a dark blob on black air

    No paper: the simplest lesion that can be drawn.
    """

    Settings = BlobSettings
    settings: BlobSettings
    title = "blobs"
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
        """See `MakeAnomalies`. Donors are not used."""
        refuse_misfits(images, valid, donors, donors_valid)
        settings, rank = self.settings, images.dim() - 2
        box = valid_box(images, valid)
        drawn = uniform(generator, images, 2)
        count = (drawn[:, 0] < settings.share) * (1 + (drawn[:, 1] * settings.most).floor())
        added = torch.zeros_like(images[:, :1])
        profile = torch.zeros_like(images[:, :1], dtype=torch.float32)
        for number in range(settings.most):
            blob = self.profile(generator, images, box)
            drawn = uniform(generator, images, 2)
            height = between(drawn[:, 0], settings.contrast)
            height = torch.where(drawn[:, 1] < settings.bright, height, -height) * (count > number)
            added += per_image(height, rank) * blob
            profile = torch.maximum(profile, blob * per_image(count > number, rank))
        lowest, highest, deviation = values_of(images, valid)
        changed = (images + deviation * added).clamp(lowest, highest).to(images.dtype)
        mask = (changed != images).any(dim=1, keepdim=True) & (profile > 0)
        if valid is not None:
            mask &= valid
        return as_far_as_it_shows(
            images, changed, mask, profile, settings.visible * deviation, settings.target
        )

    def profile(self, generator: torch.Generator, images: Tensor, box: Box) -> Tensor:
        """p of one blob in each image: float32 `[N, 1, *S]`."""
        settings, rank, count = self.settings, images.dim() - 2, len(images)
        drawn = uniform(generator, images, 2 * rank + 1)
        centre = centres(drawn[:, :rank], box, settings.core)
        radii = between(drawn[:, rank:-1], settings.radius).clamp_min(1e-3)
        edge = per_image(between(drawn[:, -1], settings.edge).clamp_min(1e-3), rank)
        axes = turned_anyhow(generator, count, rank, images.device)
        return soft_edge(ellipse_distance(centre, radii, axes, box, images.shape[2:]), edge)
