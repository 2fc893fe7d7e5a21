"""`bundle.json`: the strict schema of all in a bundle that is not a tensor.

`format`, `written_by` and `needs` stand at the top of every format from 2 on, so that each version can say
which one reads what it cannot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter

from secondread.bundles.declared import DeclaredFile
from secondread.registry.outside import OutsideCode
from secondread.settings.base import Settings
from secondread.training.log import TrainingLog
from secondread.wording.short import shortened

FORMAT = 2
NEEDS = "0.2.0"
"""The first version that reads this format."""
MODEL, PREPROCESSING = "model.safetensors", "preprocessing.safetensors"
CALIBRATION, COMPANIONS = "calibration.safetensors", "companions.safetensors"
SEEN = "seen.json"
TENSOR_FILES = (MODEL, PREPROCESSING, CALIBRATION, COMPANIONS)
FILES = (*TENSOR_FILES, SEEN)
LEFT_OUT = ("thumbnails", "seen")
"""What may be left out of a bundle that is handed over: the baseline pixel-1nn with its thumbnails of
normals, and the digests and hashes of what the fit saw."""
Version = Annotated[str, Field(pattern=r"^\d[0-9A-Za-z.+!-]{0,40}$")]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


Kind = Literal["thumbnails", "features", "mean", "digests"]
KINDS: Mapping[Kind, str] = {
    "thumbnails": "thumbnails of training normals",
    "features": "vectors of features of training images, from which one can guess at the images",
    "mean": "a mean of many normals",
    "digests": "digests of training images or of their patients' ids",
}


def _logged(training: dict[str, Any]) -> dict[str, Any]:
    """The training log as it is, where it is one."""
    if training:
        _training_log().validate_python(training)
    return training


@cache
def _training_log() -> TypeAdapter[TrainingLog]:
    """Made when it is first asked for, and once: that takes as long as all else of a document."""
    return TypeAdapter(TrainingLog)


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
    cohorts           images that went into each cohort
    unreadable        images that did not, by cohort; `abnormal masks` are masks that could not be read
    weights           file name -> SHA-256 of pretrained weights
    training          the loop's log by stage
    seconds           wall-clock time by part of the fit
    recalibrated      later `calibrate` runs: manifest digest, time, rate, precision of the scores, a digest
                      of the images, how many were unreadable or left out; and `threshold` runs: time, rate
                      and the digests of the bundles that it was made from
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

    @property
    def scored_in(self) -> str:
        """The precision in which the calibration scores were computed, and therefore every score that is held
        against them, whatever a machine would choose."""
        told = (done["precision"] for done in reversed(self.recalibrated) if "precision" in done)
        return next(told, self.precision)


class Statements(Settings):
    """What whoever hands a bundle over says of it.

    licence  of the bundle
    data     what it learned from, in a sentence
    """

    licence: str = Field("", max_length=200)
    data: str = Field("", max_length=4_000)


class Figure(Settings):
    """A figure of a test and its 95 % interval; None where there was none."""

    value: float | None = None
    interval: tuple[float, float] | None = None


class Figures(Settings):
    """How the bundle did on a test; `normal` and `abnormal` images."""

    normal: int = Field(ge=0)
    abnormal: int = Field(ge=0)
    auroc: Figure = Figure()
    average_precision: Figure = Figure()
    sensitivity: Figure = Figure()
    false_alarm_rate: Figure = Figure()


class Kept(Settings):
    """Something in a bundle that is an image of the fit, near to one, or tells one again.

    file, tensor  where it lies
    rows          how many
    """

    file: Literal[
        "model.safetensors", "preprocessing.safetensors", "calibration.safetensors", "companions.safetensors"
    ]
    tensor: str = Field(max_length=1_024)
    rows: int = Field(ge=0)
    kind: Kind

    def __str__(self) -> str:
        number = "" if self.kind == "mean" else f"{self.rows:,} "
        return f"{number}{KINDS[self.kind]} ({self.file}: {shortened(self.tensor, 60)})"


class BundleDocument(Settings):
    """Everything in `bundle.json`. `files` names each other file of the bundle and no more.

    written_by  the version of secondread that wrote the file
    needs       the first version that reads it
    statements  of whoever handed it over
    figures     of a test, where one was given with it
    left_out    what another bundle with the same scores holds, and this one does not
    keeps       images of the fit, or what is near to them
    made_from   digests of bundles of which this is a copy with other statements or less in it; its scores,
                p-values and flags are theirs
    """

    format: Literal[2]
    written_by: Version
    needs: Version
    recipe: dict[str, Any]
    preprocessing: dict[str, Any]
    parts: tuple[Annotated[str, Field(pattern=r"^[\w-]{1,64}$")], ...] = Field(min_length=1, max_length=64)
    calibration: dict[str, Any]
    companions: dict[str, dict[str, Any]]
    provenance: Provenance
    statements: Statements = Statements()
    figures: Figures | None = None
    left_out: tuple[Literal["thumbnails", "seen"], ...] = Field((), max_length=len(LEFT_OUT))
    keeps: tuple[Kept, ...] = Field((), max_length=4_096)
    made_from: tuple[Digest, ...] = Field((), max_length=64)
    files: dict[str, DeclaredFile] = Field(max_length=len(FILES))

    def text(self) -> bytes:
        """`bundle.json`, whose SHA-256 is the bundle's digest."""
        return json.dumps(self.model_dump(mode="json"), indent=1, allow_nan=False).encode()

    @property
    def versions(self) -> dict[str, Any]:
        """Of the bundle's form and of what wrote it."""
        return {"format": self.format, "written_by": self.written_by, "needs": self.needs}
