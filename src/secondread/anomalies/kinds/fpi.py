"""Foreign patch interpolation: a box of each image is mixed with the same box of another image."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from secondread.anomalies.anomaly import Anomalies, MakeAnomalies, refuse_misfits
from secondread.anomalies.foreign import SamePlaceSettings, same_place


class ForeignPatchSettings(SamePlaceSettings):
    """The defaults are DDAD's; FPI has `share: 1, alpha: [0.05, 0.95], target: alpha, differing: true`, for
    brains `core: 0.5`, and with the five classes of its abdomens `levels: 4` in place of alpha."""

    name: Literal["fpi"] = "fpi"
    target: Literal["mask", "alpha"] = Field("mask", description="1 inside the patch, or alpha inside it")
    differing: bool = Field(
        False, description="leave out of mask and target where both images are equal, such as in black air"
    )
    tolerance: NonNegativeFloat = Field(
        0.0,
        description="with `differing`: leave out of the target where both images differ by no more than this",
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
    image draws its own. Its code compares both images on a grid of steps as wide as the tolerance, so that
    equal differences may count or not; here the difference itself is compared.
    """

    Settings = ForeignPatchSettings
    settings: ForeignPatchSettings
    title = "foreign patch interpolation"
    paper = "Tan et al., MELBA 2022; Cai et al., Medical Image Analysis 2023"
    from_others = True

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
        settings = self.settings
        patch = same_place(images, generator, settings, donors=donors, valid=valid, donors_valid=donors_valid)
        mask = seen = patch.mask
        if settings.differing:
            apart = (patch.others - images).abs().amax(dim=1, keepdim=True)
            mask = mask & (apart > 0)
            seen = mask & (apart > settings.tolerance)
        alpha = patch.alpha
        mixed = torch.where(mask, torch.lerp(images, patch.others, alpha.to(images.dtype)), images)
        return Anomalies(mixed, mask, seen * alpha if settings.target == "alpha" else seen.float())
