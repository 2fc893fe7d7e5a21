"""A calibration as it lies in a bundle: JSON under a strict schema, and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from secondread.calibration.calibration_settings import CalibrationSettings
from secondread.calibration.complexity_line import ComplexityLine
from secondread.calibration.conformal import Conformal, tolerance
from secondread.calibration.map_mixture import CalibratedMaps
from secondread.calibration.part_mixture import PartMixture
from secondread.postprocessing.map_processing import NORMAL, MapProcessing, MapProcessingDocument
from secondread.settings.base import Settings

FORMAT = 1


class CalibrationDocument(Settings):
    """The JSON of `Calibration.state`."""

    format: Literal[1]
    settings: CalibrationSettings
    mixture: PartMixture
    adjusted: PartMixture | None
    line: ComplexityLine | None
    maps: CalibratedMaps | None
    patients: int = Field(ge=0, le=10**9)
    tolerance: float | None = Field(None, ge=0.0)
    study_patients: int | None = Field(ge=0, le=10**9)
    validation_images: int = Field(ge=0, le=10**9)
    without_patient: int = Field(ge=0, le=10**9)
    images_per_study: float | None
    recalibrated: bool
    of_unlabelled: bool = False
    processing: MapProcessingDocument | None = None

    @model_validator(mode="after")
    def _divisible(self) -> CalibrationDocument:
        deviations = [] if self.line is None else [self.line.sd]
        for mixture in (self.mixture, self.adjusted, self.maps):
            deviations += [] if mixture is None else [part.sd for part in mixture.parts.values()]
        if any(not deviation > 0 for deviation in deviations):
            raise ValueError("a standard deviation is not above 0")
        if (self.settings.complexity == "difference") != (self.adjusted is not None):
            raise ValueError("complexity: difference belongs to an adjusted mixture")
        if (self.settings.complexity == "residual") != (self.line is not None):
            raise ValueError("complexity: residual belongs to a line")
        return self


def fields_of(document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The fields of the calibration. Raises ValueError or KeyError where they do not fit together."""
    if document.get("format") != FORMAT:
        raise ValueError(
            f"calibration format {document.get('format')!r} is not known; this version reads {FORMAT}"
        )
    try:
        said = CalibrationDocument.model_validate(document)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ValueError(f"calibration.{where}: {problem['msg']}") from error
    expected = {"image_scores", "image_weights"}
    expected |= set() if said.study_patients is None else {"study_scores", "study_weights"}
    if said.processing is not None and said.processing.settings.subtract_normal:
        expected |= {f"{NORMAL}{name}" for name in said.processing.lowest}
    if set(arrays) != expected:
        raise ValueError(f"calibration has the arrays {sorted(arrays)} where it needs {sorted(expected)}")
    ties = tolerance(arrays["image_scores"]) if said.tolerance is None else said.tolerance
    studies = said.study_patients
    return {
        "settings": said.settings,
        "mixture": said.mixture,
        "adjusted": said.adjusted,
        "line": said.line,
        "maps": said.maps,
        "images": _conformal(arrays, "image", said.patients, ties),
        "studies": None if studies is None else _conformal(arrays, "study", studies, ties),
        "validation_images": said.validation_images,
        "without_patient": said.without_patient,
        "images_per_study": said.images_per_study,
        "recalibrated": said.recalibrated,
        "of_unlabelled": said.of_unlabelled,
        "processing": None if said.processing is None else MapProcessing.from_state(said.processing, arrays),
    }


def _conformal(arrays: Mapping[str, NDArray[Any]], of: str, patients: int, ties: float) -> Conformal:
    scores, weights = (np.asarray(arrays[f"{of}_{what}"], np.float64) for what in ("scores", "weights"))
    return Conformal(scores, weights, patients, ties)
