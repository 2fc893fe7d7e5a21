"""DRAEM's anomalies: a texture shows through in parts of an image that Perlin noise cuts out."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from secondread.anomalies.anomaly import (
    Anomalies,
    AnomalySettings,
    MakeAnomalies,
    ShareRange,
    between,
    per_image,
    refuse_misfits,
    rising,
    uniform,
)
from secondread.anomalies.patches import rotations
from secondread.anomalies.perlin import perlin
from secondread.anomalies.placement import below
from secondread.anomalies.textures import CHANGES, changed_greys, drawn_textures, fitting, stretched
from secondread.anomalies.values import values_of
from secondread.errors import UserError

Power = Annotated[int, Field(ge=0, le=6)]
NEAR = 0.1
"""How far under the noise's highest value the threshold is at least."""


class DraemSettings(AnomalySettings):
    """The defaults are the paper's."""

    name: Literal["draem"] = "draem"
    beta: ShareRange = Field((0.0, 0.8), description="share of the image that is left where the texture lies")
    threshold: Annotated[float, Field(ge=-1, le=1)] = Field(
        0.5, description="the texture lies where the noise, from -1 to 1, is above"
    )
    powers: Annotated[tuple[Power, Power], AfterValidator(rising)] = Field(
        (0, 5), description="cells of noise along each axis: powers of two"
    )
    turn: Annotated[float, Field(ge=0, le=180)] = Field(90, description="of the noise, at most, in degrees")
    changes: Annotated[int, Field(ge=0, le=CHANGES)] = Field(
        3, description="changes of each texture's greys, of six kinds"
    )


class Draem(MakeAnomalies):
    """x' = (1 - β) A + β x where the Perlin noise n > t, x' = x elsewhere.

    n has 2^p cells along each axis, p from `powers`, for each axis its own, and is turned by U(-turn, turn)
    degrees (in volumes in the plane of each pair of axes). A is a texture: one of the `donors`, such as the
    cohort `auxiliary`, in the range of values that it has itself; or, where none are given, one that is drawn
    from noise, from the lowest to the highest value of the image. `changes` of its greys are applied to
    either. β is from `beta`. What is padding in the image or in the texture stays as it is.

    mask    where x' differs from x
    target  1 there

    Source: V. Zavrtanik, M. Kristan, D. Skočaj, DRAEM: a discriminatively trained reconstruction embedding
    for surface anomaly detection, ICCV 2021, whose textures are photographs (DTD). Differences: t is 0.1
    under the highest value of n where n is nowhere above that, so that every image that is to be changed is
    (the paper leaves it clean); cells have four positions or more; turned noise goes on at the image's
    corners, where the paper has none; of the paper's ten changes of the texture, sharpness, hue, contrast
    and turns are left out. Turns of the image itself belong to a stage's `augment`.
    """

    Settings = DraemSettings
    settings: DraemSettings
    title = "textures in Perlin noise"
    paper = "Zavrtanik et al., ICCV 2021"

    def __call__(
        self,
        images: Tensor,
        generator: torch.Generator,
        *,
        donors: Tensor | None = None,
        valid: Tensor | None = None,
        donors_valid: Tensor | None = None,
    ) -> Anomalies:
        """See `MakeAnomalies`. Without donors the textures are drawn. UserError for an empty tensor
        of donors."""
        refuse_misfits(images, valid, donors, donors_valid)
        rank = images.dim() - 2
        drawn = uniform(generator, images, 3 + rank + rank * (rank - 1) // 2)
        some = torch.nonzero(drawn[:, 0] < self.settings.share).flatten()
        changed, mask = images.clone(), torch.zeros_like(images[:, :1], dtype=torch.bool)
        if len(some):
            changed[some], mask[some] = self.mixed(
                images[some],
                generator,
                drawn[some],
                donors,
                None if valid is None else valid[some],
                donors_valid,
            )
        return Anomalies(changed, mask, mask.float())

    def mixed(
        self,
        images: Tensor,
        generator: torch.Generator,
        drawn: Tensor,
        donors: Tensor | None,
        valid: Tensor | None,
        donors_valid: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """x' and the mask, of images that are all to be changed."""
        settings, rank, size = self.settings, images.dim() - 2, images.shape[2:]
        own, places, turns = drawn[:, 1:3], drawn[:, 3 : 3 + rank], drawn[:, 3 + rank :]
        grids = torch.tensor(fitting(size, settings.powers), dtype=torch.float32, device=images.device)
        cells = grids[(places * len(grids)).long()]
        turn = rotations(between(turns, (-settings.turn, settings.turn)), rank)
        noise = perlin(generator, size, cells, turn, int(grids[-1]))
        texture, fits = self.texture(images, generator, own[:, 1], donors, valid, donors_valid)
        fits = torch.ones_like(noise, dtype=torch.bool) if fits is None else fits
        if valid is not None:
            fits = fits & valid
        highest = noise.masked_fill(~fits, -math.inf).flatten(1).amax(dim=1)
        mask = fits & (noise > per_image((highest - NEAR).clamp_max(settings.threshold), rank))
        beta = per_image(between(own[:, 0], settings.beta), rank)
        mixed = torch.lerp(texture.to(images.dtype), images, beta.to(images.dtype))
        mask &= (mixed != images).any(dim=1, keepdim=True)
        return torch.where(mask, mixed, images), mask

    def texture(
        self,
        images: Tensor,
        generator: torch.Generator,
        drawn: Tensor,
        donors: Tensor | None,
        valid: Tensor | None,
        donors_valid: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """A of each image `[N, C, *S]`, and where it is not padding."""
        if donors is None:
            plain = drawn_textures(generator, len(images), images.shape[2:], images.device)
            greys = stretched(changed_greys(plain, generator, self.settings.changes))
            lowest, highest, _ = values_of(images, valid)
            return torch.lerp(lowest.float(), highest.float(), greys).expand(images.shape), None
        if len(donors) == 0:
            raise UserError("draem takes textures from donors, and none are given; give at least one")
        which = below(drawn, torch.zeros_like(drawn), torch.full_like(drawn, len(donors))).long()
        chosen, fits = donors[which], None if donors_valid is None else donors_valid[which]
        lowest, highest, _ = values_of(chosen, fits)
        width = (highest - lowest).clamp_min(1e-12)
        greys = changed_greys(((chosen - lowest) / width).clamp(0, 1), generator, self.settings.changes)
        return lowest + width * greys, fits
