"""Poisson image interpolation: gradients of a box are mixed with those of the same box of another image."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from secondread.anomalies.anomaly import Anomalies, MakeAnomalies, ShareRange, refuse_misfits
from secondread.anomalies.foreign import SamePlaceSettings, same_place
from secondread.anomalies.neighbourhoods import inner
from secondread.anomalies.poisson import blended
from secondread.anomalies.values import values_of


class PoissonPatchSettings(SamePlaceSettings):
    """The defaults are the paper's, except for `share`: it changes every image."""

    name: Literal["pii"] = "pii"
    alpha: ShareRange = Field(
        (0.05, 0.95), description="weight of the other image's gradients; never 0 itself"
    )
    mixed: bool = Field(
        True, description="of both weighted gradients the larger one, as in the paper, instead of their sum"
    )
    target: Literal["mask", "alpha"] = Field("alpha", description="1 inside the patch, or alpha inside it")
    tolerance: NonNegativeFloat = Field(
        1e-3, description="smaller changes are no target; in prepared values, the paper's being in [0, 1]"
    )


class PoissonPatches(MakeAnomalies):
    """Inside a box x' solves the Poisson equation whose guidance mixes the gradients of two images:

        Σ_q (x'_p - x'_q) = Σ_q v_pq,   x' = x on and outside the box's border
        v = (1 - alpha) ∇x or alpha ∇d, whichever is larger (`mixed`), or (1 - alpha) ∇x + alpha ∇d

    with d another image of the batch, and x' clipped to the values of x. So there is no step along the border
    of the patch, as there is in `fpi`. Boxes, alpha and share are as there, the box being cut off one
    position before the border of the image, and of what is valid in it and in d.

    mask    where x' differs from x
    target  alpha, or 1, where they differ by more than `tolerance`

    Source: J. Tan, B. Hou, T. Day, J. Simpson, D. Rueckert, B. Kainz, Detecting outliers with Poisson image
    interpolation, MICCAI 2021 (arXiv 2107.02622). It changes both images of a pair by one alpha; here each
    image draws its own. Its code looks at changes on a grid of steps of 0.001, here the change is compared.
    The equation is solved exactly, see `anomalies/poisson.py`.
    """

    Settings = PoissonPatchSettings
    settings: PoissonPatchSettings
    title = "Poisson image interpolation"
    paper = "Tan et al., MICCAI 2021"
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
        patch = same_place(
            images,
            generator,
            settings,
            donors=donors,
            valid=valid,
            donors_valid=donors_valid,
            framed=True,
        )
        alpha = patch.alpha.flatten()
        solved = blended(
            images,
            patch.others,
            patch.mask & inner(patch.valid, images),
            own=1 - alpha,
            foreign=alpha,
            mixed=torch.tensor(settings.mixed).expand(len(images)),
        )
        lowest, highest, _ = values_of(images, valid)
        solved = torch.where(patch.mask, solved.clamp(lowest, highest), images)
        change = (solved - images).abs().amax(dim=1, keepdim=True)
        seen = change > settings.tolerance
        return Anomalies(
            solved, change > 0, seen * patch.alpha if settings.target == "alpha" else seen.float()
        )
