"""CutPaste: a part of an image is cut out and pasted somewhere else in it, as a patch or as a thin scar."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
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
from secondread.anomalies.patches import (
    corners,
    jittered,
    log_aspects,
    rotations,
    sides,
    taken,
    turned_offsets,
)
from secondread.anomalies.placement import valid_box

PATCH, SCAR = 1, 2
"""Classes of `Anomalies.classes`; 0 is an image that was left as it was."""


class CutPasteSettings(AnomalySettings):
    """The defaults are the paper's, its scars of 2 to 16 and 10 to 25 pixels as shares of 256."""

    name: Literal["cutpaste"] = "cutpaste"
    form: Literal["patch", "scar", "3-way"] = Field(
        "3-way",
        description="what is pasted; of 3-way, one or the other, each as likely, and a class for each",
    )
    area: ShareRange = Field((0.02, 0.15), description="of a patch, as share of the image's area or volume")
    aspect: Annotated[Range, Field(description="of a patch: the ratio of its sides")] = (0.3, 1 / 0.3)
    width: ShareRange = Field((2 / 256, 16 / 256), description="of a scar, as share of the image's side")
    length: ShareRange = Field((10 / 256, 25 / 256), description="of a scar, as share of the image's side")
    turn: Annotated[float, Field(ge=0, le=180)] = Field(45, description="of a scar, at most, in degrees")
    jitter: Share = Field(0.1, description="brightness and contrast change by at most this share")

    def variants(self) -> tuple[AnomalySettings, ...]:
        forms = ("patch", "scar") if self.form == "3-way" else (self.form,)
        return tuple(self.model_copy(update={"share": 1.0, "form": form}) for form in forms)


class CutPaste(MakeAnomalies):
    """x'(q) = j(x(q - d + s)) for q in a box about d, x'(q) = x(q) elsewhere.

    patch   the box takes a share `area` of the image, log-uniform ratio of its sides from `aspect`
    scar    a thin box of `length` along the rows' axis and `width` along the others, pasted turned by
            U(-turn, turn) degrees; values are those of the nearest position
    j       brightness and contrast times U(1 - jitter, 1 + jitter), clipped to the image's own range

    s and d are any places at which the box lies in the image (a turned scar may reach over the edge, and is
    cut off there). In volumes the box has three sides, each ratio from `aspect`, and a scar is turned in
    the plane of each pair of axes. Of padded images the box around the valid positions is the image; where
    what is cut out or what is pasted on is padding nothing is changed.

    mask    where x' differs from x
    target  1 there
    classes 0 for an image that was left as it was, 1 with a patch, 2 with a scar: CutPaste's 3-way task

    Source: C.-L. Li, K. Sohn, J. Yoon, T. Pfister, CutPaste: self-supervised learning for anomaly detection
    and localization, CVPR 2021; ratios, jitter and scars as later implementations have them. Of the colour
    jitter, saturation and hue are left out: prepared images are grey values. The paper makes a patch and a
    scar of every image; here each image draws one.
    """

    Settings = CutPasteSettings
    settings: CutPasteSettings
    title = "CutPaste"
    paper = "Li et al., CVPR 2021"

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
        planes = rank * (rank - 1) // 2
        box = valid_box(images, valid)
        drawn = uniform(generator, images, 7 + 2 * rank + rank - 1 + planes)
        own, places, aspects, turns = drawn.split([7, 2 * rank, rank - 1, planes], dim=1)
        scar = {"patch": own[:, 1] < 0, "scar": own[:, 1] >= 0, "3-way": own[:, 1] < 0.5}[settings.form]
        patch_side = sides(between(own[:, 2], settings.area), log_aspects(aspects, settings.aspect), box)
        scar_side = between(own[:, 3:4], settings.width) * box.side
        rows = max(rank - 2, 0)
        scar_side[:, rows] = between(own[:, 4], settings.length) * box.side[:, rows]
        side = torch.where(scar[:, None], torch.minimum(scar_side.round().clamp_min(1), box.side), patch_side)
        middle = (side - 1) / 2
        source = corners(places[:, :rank], side, box) + middle
        goal = corners(places[:, rank:], side, box) + middle
        turn = rotations(between(turns, (-settings.turn, settings.turn)) * scar[:, None], rank)
        offsets = turned_offsets(goal, turn, size)
        inside = torch.ones_like(images[:, :1], dtype=torch.bool)
        for offset, along in zip(offsets, side.unbind(dim=1), strict=True):
            inside &= offset.abs() <= per_image(along / 2 - 1e-3, rank)
        inside &= per_image(own[:, 0] < settings.share, rank)
        if valid is not None:
            inside &= valid & taken(valid, source, offsets)
        pasted = jittered(taken(images, source, offsets), inside, own[:, 5:7], settings.jitter, images, valid)
        mask = inside & (pasted != images).any(dim=1, keepdim=True)
        changed = torch.where(mask, pasted, images)
        classes = torch.where(scar, SCAR, PATCH) * mask.flatten(1).any(dim=1)
        return Anomalies(changed, mask, mask.float(), classes)
