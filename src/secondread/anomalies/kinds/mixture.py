"""A mixture of kinds: each image gets an anomaly of one of several kinds, drawn by chance."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from secondread.anomalies.anomaly import Anomalies, AnomalySettings, MakeAnomalies, refuse_misfits, uniform
from secondread.anomalies.build import AnyAnomalySettings, make_anomalies
from secondread.anomalies.kinds.blobs import BlobSettings
from secondread.anomalies.kinds.cutpaste import CutPasteSettings
from secondread.anomalies.kinds.deformation import DeformationSettings


class MixtureSettings(AnomalySettings):
    name: Literal["mixture"] = "mixture"
    of: Annotated[tuple[AnyAnomalySettings, ...], Field(min_length=1, max_length=32)] = Field(
        (BlobSettings(), DeformationSettings(), CutPasteSettings()),
        description="the kinds, each as likely as another; one that is named twice is twice as likely",
    )

    @field_validator("of")
    @classmethod
    def _kinds_alone(cls, of: tuple[AnomalySettings, ...]) -> tuple[AnomalySettings, ...]:
        if any(isinstance(one, MixtureSettings) for one in of):
            raise ValueError("one of them is a mixture itself; name its kinds here")
        return of

    def variants(self) -> tuple[AnomalySettings, ...]:
        return tuple(one.model_copy(update={"share": 1.0}) for one in self.of)


class Mixture(MakeAnomalies):
    """x' is x changed by a kind k, drawn for each image from `of`, each entry as likely as another.

    `share` is the mixture's own: the kinds' shares do not count. A kind that takes from other images takes
    from those of the batch that get another kind or none, and from its own where there are no such; the
    kinds that take nothing from the batch get the `donors`. Mask and target are those of the kinds; `classes`
    is the number of the kind, from 1, and 0 for an image that was left as it was.

    No paper: several tasks keep a network from learning what gives one of them away.
    """

    Settings = MixtureSettings
    settings: MixtureSettings
    title = "mixture of kinds"
    paper = ""

    def __init__(self, settings: AnomalySettings | None = None) -> None:
        super().__init__(settings)
        self.kinds = [make_anomalies(one) for one in self.settings.variants()]
        self.from_others = any(kind.from_others for kind in self.kinds)

    def __call__(
        self,
        images: Tensor,
        generator: torch.Generator,
        *,
        donors: Tensor | None = None,
        valid: Tensor | None = None,
        donors_valid: Tensor | None = None,
    ) -> Anomalies:
        """See `MakeAnomalies`. UserError where a kind takes from another image and there is none."""
        refuse_misfits(images, valid, donors, donors_valid)
        drawn = uniform(generator, images, 2)
        number = 1 + (drawn[:, 1] * len(self.kinds)).long().clamp_max(len(self.kinds) - 1)
        number = torch.where(drawn[:, 0] < self.settings.share, number, 0)
        changed = images.clone()
        mask = torch.zeros_like(images[:, :1], dtype=torch.bool)
        target = torch.zeros_like(images[:, :1], dtype=torch.float32)
        for index, kind in enumerate(self.kinds, start=1):
            mine = number == index
            if not bool(mine.any()):
                continue
            given, given_valid = donors, donors_valid
            if kind.from_others:
                given, given_valid = (None, None) if bool(mine.all()) else (images[~mine], kept(valid, ~mine))
            made = kind(
                images[mine],
                generator,
                donors=given,
                valid=kept(valid, mine),
                donors_valid=given_valid,
            )
            changed[mine], mask[mine], target[mine] = made.images, made.mask, made.target
        return Anomalies(changed, mask, target, number * mask.flatten(1).any(dim=1))


def kept(valid: Tensor | None, which: Tensor) -> Tensor | None:
    return None if valid is None else valid[which]
