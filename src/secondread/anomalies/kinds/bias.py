"""Bumps of the bias field of MR: smooth parts of an image that are brighter or darker by a factor."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

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
from secondread.anomalies.ellipses import (
    as_far_as_it_shows,
    ellipse_distance,
    soft_edge,
    turned_anyhow,
)
from secondread.anomalies.placement import centres, valid_box
from secondread.anomalies.values import values_of


class BiasSettings(AnomalySettings):
    name: Literal["bias"] = "bias"
    radius: ShareRange = Field((0.1, 0.3), description="of each half-axis, as share of the image's side")
    strength: ShareRange = Field((0.2, 0.6), description="logarithm of the factor in the middle of a bump")
    bright: Share = Field(0.5, description="probability that a bump makes brighter")
    core: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8, description="share of each side, about its middle, in which centres lie"
    )
    visible: NonNegativeFloat = Field(
        0.1, description="smallest change that is a target, in standard deviations of the image"
    )
    target: Literal["mask", "profile"] = Field(
        "mask", description="1 where a bump has at least half its strength, or its share of the strength"
    )


class BiasBumps(MakeAnomalies):
    """x' = min(l + (x - l) exp(b a p(r)), h), with p(r) = ½ (1 + cos(π r / 2)) for r < 2, else 0.

    l and h are the lowest and the highest value of the image, so air (its lowest value) stays as it is, as
    under the bias field of a coil; a is from `strength`, b = ±1, r the distance from the centre in half-axes,
    turned anyhow. One bump in each changed image; channels change alike. Only valid positions count.

    mask    where x' differs from x
    target  where they differ by `visible` standard deviations of the image or more: whether p ≥ ½, or p

    No paper: what a wrong correction of the bias field leaves, and what diffuse signal changes look like.
    """

    Settings = BiasSettings
    settings: BiasSettings
    title = "bias-field bumps"
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
        settings, rank, size = self.settings, images.dim() - 2, images.shape[2:]
        box = valid_box(images, valid)
        drawn = uniform(generator, images, 3 + 2 * rank)
        axes = turned_anyhow(generator, len(images), rank, images.device)
        radii = between(drawn[:, 3 + rank :], settings.radius).clamp_min(1e-3)
        centre = centres(drawn[:, 3 : 3 + rank], box, settings.core)
        profile = soft_edge(ellipse_distance(centre, radii, axes, box, size), 1.0)
        strength = between(drawn[:, 1], settings.strength)
        strength = torch.where(drawn[:, 2] < settings.bright, strength, -strength)
        lowest, highest, deviation = values_of(images, valid)
        factor = (per_image(strength, rank) * profile).exp()
        changed = torch.minimum(lowest + (images - lowest) * factor, highest).to(images.dtype)
        mask = (changed != images).any(dim=1, keepdim=True) & (profile > 0)
        mask &= per_image(drawn[:, 0] < settings.share, rank)
        if valid is not None:
            mask &= valid
        return as_far_as_it_shows(
            images, changed, mask, profile, settings.visible * deviation, settings.target
        )
