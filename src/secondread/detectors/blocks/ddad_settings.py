"""What a person may set about discrepancy ensembles."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from secondread.anomalies.build import AnyAnomalySettings
from secondread.anomalies.kinds.fpi import ForeignPatchSettings
from secondread.detectors.detector_settings import DetectorSettings
from secondread.detectors.reconstruction.ae import AESettings
from secondread.detectors.reconstruction.aeu import AEUSettings
from secondread.detectors.reconstruction.memae import MemAESettings
from secondread.settings.base import Settings, Width

BackboneSettings = Annotated[AESettings | MemAESettings | AEUSettings, Field(discriminator="name")]


class RefinerSettings(Settings):
    """See `networks.refiner`."""

    width: Width = 128
    gamma: float = Field(2.0, ge=0, description="of the focal loss; 0 is cross-entropy")


class DDADSettings(DetectorSettings):
    """The defaults are the paper's, with AE-U."""

    name: Literal["ddad"] = "ddad"
    backbone: BackboneSettings = AEUSettings()
    members: int = Field(3, ge=2, le=64, description="networks in each ensemble")
    score: Literal["rec", "intra", "inter", "r_intra", "r_dual"] = "r_dual"
    refiners: tuple[Literal["r_intra", "r_dual"], ...] = Field(
        ("r_intra", "r_dual"), description="which are trained, and reported as parts"
    )
    refiner: RefinerSettings = RefinerSettings()
    anomalies: AnyAnomalySettings = ForeignPatchSettings()
    run: Literal["auto", "sequential", "batched"] = Field(
        "auto", description="how the networks of a trained ensemble are run; the same numbers either way"
    )

    @model_validator(mode="after")
    def _score_is_trained(self) -> DDADSettings:
        if self.score in ("r_intra", "r_dual") and self.score not in self.refiners:
            raise ValueError(f"score {self.score} needs its refiner: add {self.score} to refiners")
        if len(set(self.refiners)) < len(self.refiners):
            raise ValueError("refiners names one twice")
        return self

    @property
    def unlabelled(self) -> bool:
        """Whether an ensemble of normal and unlabelled images is trained."""
        return self.score in ("inter", "r_dual") or "r_dual" in self.refiners
