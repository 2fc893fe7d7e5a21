"""Foreign patch interpolation: a box of each image is mixed with the same box of another image."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.anomalies.anomaly import (
    Anomalies,
    AnomalySettings,
    MakeAnomalies,
    ShareRange,
    between,
    per_image,
    refuse_misfits,
    uniform,
)
from secondread.anomalies.placement import below, centres, cuboids, valid_box
from secondread.errors import UserError


class ForeignPatchSettings(AnomalySettings):
    """The defaults are DDAD's; FPI has `share: 1, alpha: [0.05, 0.95], target: alpha, differing: true`."""

    name: Literal["fpi"] = "fpi"
    alpha: ShareRange = Field((0.0, 1.0), description="weight of the other image; never 0 itself")
    half_width: ShareRange = Field((0.05, 0.2), description="of the patch, as share of the image's side")
    core: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8, description="share of each side, about its middle, in which centres lie"
    )
    target: Literal["mask", "alpha"] = Field("mask", description="1 inside the patch, or alpha inside it")
    differing: bool = Field(
        False, description="leave out of mask and target where both images are equal, such as in black air"
    )


class ForeignPatches(MakeAnomalies):
    """x' = (1 - alpha) x + alpha d inside a box, x' = x elsewhere, with d another image of the batch.

    Each image is changed with probability `share`; each has its own d, alpha and box. The box is a
    rectangle or a cuboid, `[c - w, c + w)` along each axis, cut off at the image's border: c is uniform in
    the `core` of the image, and w a whole number from `half_width` times the side (rounded, at least 1; its
    end left out), the same share along each axis. Where images are padded, image and side mean the box
    around the positions that are valid in it and in d, and all others stay as they are.

    Source: J. Tan, B. Hou, J. Batten, H. Qiu, B. Kainz, Detecting outliers with foreign patch interpolation,
    MELBA 2022 (arXiv 2011.04197); with the defaults as in Y. Cai, H. Chen, X. Yang, Y. Zhou, K.-T. Cheng,
    Dual-distribution discrepancy with self-supervised refinement for anomaly detection in medical images,
    Medical Image Analysis 2023. FPI changes both images of a pair, by alpha and by 1 - alpha; here each
    image draws its own.
    """

    Settings = ForeignPatchSettings
    settings: ForeignPatchSettings
    title = "foreign patch interpolation"
    paper = "Tan et al., MELBA 2022; Cai et al., Medical Image Analysis 2023"

    def __call__(
        self,
        images: Tensor,
        generator: torch.Generator,
        *,
        donors: Tensor | None = None,
        valid: Tensor | None = None,
        donors_valid: Tensor | None = None,
    ) -> Anomalies:
        """See `MakeAnomalies`. Each image draws its donor from `donors`, or from the others of the batch;
        UserError where there is none."""
        refuse_misfits(images, valid, donors, donors_valid)
        settings, rank = self.settings, images.dim() - 2
        drawn = uniform(generator, images, 4 + rank)
        donor = chosen(drawn[:, 0], len(images), donors)
        if donors is None:
            donors, donors_valid = images, valid
        other = donors[donor]
        if donors_valid is not None:
            valid = donors_valid[donor] if valid is None else valid & donors_valid[donor]
        box = valid_box(images, valid)
        centre = centres(drawn[:, 4:], box, settings.core)
        narrow, wide = (torch.round(box.side * share) for share in settings.half_width)
        half = below(drawn[:, 1:2], narrow, wide).clamp_min(1)
        mask = cuboids(centre - half, centre + half, images.shape[2:])
        mask &= per_image(drawn[:, 2] < settings.share, rank)
        if valid is not None:
            mask &= valid
        if settings.differing:
            mask &= (other != images).any(dim=1, keepdim=True)
        alpha = per_image(between(1 - drawn[:, 3], settings.alpha), rank)
        mixed = torch.where(mask, torch.lerp(images, other, alpha.to(images.dtype)), images)
        return Anomalies(mixed, mask, mask * alpha if settings.target == "alpha" else mask.float())


def chosen(drawn: Tensor, count: int, donors: Tensor | None) -> Tensor:
    """Which donor each of `count` images gets, from U[0, 1) `[count]`: one of the donors, or another of the
    batch, each as likely. UserError where there is no other image."""
    if donors is None and count == 1:
        raise UserError(
            "fpi takes a patch from another image, and the batch holds one; "
            "make batches of at least two images, or give donors"
        )
    others = count - 1 if donors is None else len(donors)
    if others == 0 and count:
        raise UserError("fpi takes a patch from another image, and no donors are given; give at least one")
    step = below(drawn, torch.zeros_like(drawn), torch.full_like(drawn, others)).long()
    if donors is not None:
        return step
    return (torch.arange(count, device=drawn.device) + 1 + step) % max(count, 1)
