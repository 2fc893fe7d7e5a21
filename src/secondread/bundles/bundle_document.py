"""`bundle.json`: the strict schema of all in a bundle that is not a tensor."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter

from secondread.bundles.declared import DeclaredFile
from secondread.registry.outside import OutsideCode
from secondread.settings.base import Settings
from secondread.training.log import TrainingLog

FORMAT = 1
TENSOR_FILES = (
    "model.safetensors",
    "preprocessing.safetensors",
    "calibration.safetensors",
    "companions.safetensors",
)
FILES = (*TENSOR_FILES, "seen.json")


def _logged(training: dict[str, Any]) -> dict[str, Any]:
    """The training log as it is, where it is one."""
    if training:
        TypeAdapter(TrainingLog).validate_python(training)
    return training


def _in_a_precision(recalibrated: dict[str, str]) -> dict[str, str]:
    if recalibrated.get("precision", "float32") not in ("float32", "bf16"):
        raise ValueError(f"precision {recalibrated['precision']!r} is neither float32 nor bf16")
    return recalibrated


class Provenance(Settings):
    """How a bundle came to be. No patient's name or id, no absolute path.

    versions          of secondread, python, torch, numpy
    code              from outside of the package, that the recipe names
    manifest_digest   of the manifest's content
    auxiliary_digest  of the list of auxiliary images; empty where the recipe names none
    taken_for_normal  images of the cohort `normal` that are unlabelled (`cohorts.unlabelled_as`)
    cohorts           images that went into each cohort; `unreadable` those that did not (and `abnormal
    masks`) weights           file name -> SHA-256 of pretrained weights
    training          the loop's log by stage
    seconds           wall-clock time by part of the fit
    recalibrated      later `calibrate` runs: manifest digest, time, rate, precision of the scores, a digest
                      of the images, how many were unreadable or left out
    """

    created: str
    versions: dict[str, str]
    code: tuple[OutsideCode, ...] = Field((), max_length=16)
    seed: int
    manifest_digest: str
    auxiliary_digest: str = ""
    taken_for_normal: int = 0
    cohorts: dict[str, int]
    unreadable: dict[str, int] = Field(default_factory=dict)
    weights: dict[str, str] = Field(default_factory=dict)
    training: Annotated[dict[str, Any], AfterValidator(_logged)] = Field(default_factory=dict)
    seconds: dict[str, float] = Field(default_factory=dict)
    device: str = "cpu"
    precision: Literal["float32", "bf16"] = "float32"
    allow_shared_patients: bool = False
    shared_patients: int = 0
    recalibrated: tuple[Annotated[dict[str, str], AfterValidator(_in_a_precision)], ...] = ()


class BundleDocument(Settings):
    """Everything in `bundle.json`. `files` names each other file of the bundle and no more."""

    format: Literal[1]
    recipe: dict[str, Any]
    preprocessing: dict[str, Any]
    parts: tuple[Annotated[str, Field(pattern=r"^[\w-]{1,64}$")], ...] = Field(min_length=1, max_length=64)
    calibration: dict[str, Any]
    companions: dict[str, dict[str, Any]]
    provenance: Provenance
    files: dict[str, DeclaredFile] = Field(max_length=len(FILES))

    @property
    def versions(self) -> dict[str, Any]:
        """Of the bundle's form and of what wrote it."""
        return {"format": self.format, "secondread": self.provenance.versions.get("secondread")}
