"""Ranking and decisions at one level: per image, or per study (the highest score of its images)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondread.evaluation.estimates import (
    Curves,
    Estimate,
    Resampling,
    area_estimate,
    curves,
    precision_estimate,
)
from secondread.evaluation.operating import OperatingPoint, operating_points
from secondread.evaluation.packed_cases import PackedCases, ranked
from secondread.evaluation.promise import Promise
from secondread.evaluation.units import Unit, Units
from secondread.metrics.decisions import flag_everything_f1
from secondread.readings.readings import Readings
from secondread.readings.streamed.reading_blocks import FLAGGED, NOT_FLAGGED, UNJUDGED
from secondread.texts import Texts
from secondread.wording.short import Short

RATES = (0.01, 0.05, 0.10, 0.20)
"""False-alarm rates whose operating points are read off the p-values."""


@dataclass(frozen=True, repr=False)
class Level(Short):
    """What the scores of one unit are worth.

    curves   None where a label is missing
    points   the calibrated threshold first, then other conformal rates, then oracles marked as such
    """

    unit: Unit
    units: Units
    promise: Promise
    auroc: Estimate
    average_precision: Estimate
    curves: Curves | None
    points: tuple[OperatingPoint, ...]
    flag_everything_f1: float | None

    @property
    def normal(self) -> int:
        return int((~self.units.abnormal).sum())

    @property
    def abnormal(self) -> int:
        return int(self.units.abnormal.sum())

    @property
    def calibrated(self) -> OperatingPoint | None:
        return next((point for point in self.points if point.kind == "calibrated"), None)

    def oracle(self, name: str) -> OperatingPoint | None:
        return next((point for point in self.points if point.kind == "oracle" and point.name == name), None)


def measure(
    units: Units,
    promise: Promise,
    how: Resampling,
    prevalence: float | None,
    *,
    unit: Unit = "image",
    rates: Sequence[float] = RATES,
) -> Level:
    """Everything about one level."""
    given = (units.abnormal, units.scores, units.groups, how)
    return Level(
        unit=unit,
        units=units,
        promise=promise,
        auroc=area_estimate(*given),
        average_precision=precision_estimate(*given),
        curves=curves(*given),
        points=operating_points(units, promise, rates, how, prevalence) if len(units) else (),
        flag_everything_f1=flag_everything_f1(units.abnormal) if units.abnormal.any() else None,
    )


def image_units(cases: PackedCases) -> Units:
    flags = cases.flags
    return Units(
        names=cases.paths,
        abnormal=cases.abnormal,
        scores=cases.scores,
        flagged=None if (flags == UNJUDGED).any() else flags == FLAGGED,
        p_values=cases.numbers("p_value"),
        groups=cases.groups,
    )


def study_units(cases: PackedCases, readings: Readings) -> Units:
    """Studies: abnormal where any image is, scored by their highest image, decided by `studies.csv`.
    Equal study ids of two patients are two studies.

    Decisions and p-values are the run's own, so they are left out where a study's score there is not
    the highest among its test images (the run saw images of the study that are not in the test).
    """
    known: dict[tuple[str, str], int] = {}
    names, whose = Texts(), Texts()
    number = np.full(len(cases), -1)
    patients, studies = cases.column("patient_id"), cases.column("study_id")
    for at, (patient, study) in enumerate(zip(patients, studies, strict=True)):
        if study:
            number[at] = found = known.setdefault((patient, study), len(known))
            if found == len(names):
                names.append(study)
                whose.append(patient or study)
    count, inside = len(names), np.flatnonzero(number >= 0)
    del known
    abnormal, scores = np.zeros(count, bool), np.full(count, -np.inf)
    np.maximum.at(scores, number[inside], cases.scores[inside])
    abnormal[number[inside][cases.abnormal[inside]]] = True
    flags, p_values = _decisions(cases, number, scores, readings)
    return Units(
        names=names,
        abnormal=abnormal,
        scores=scores,
        flagged=flags == FLAGGED if not (flags == UNJUDGED).any() else None,
        p_values=p_values,
        groups=ranked(whose),
    )


def _decisions(
    cases: PackedCases, number: NDArray[np.int64], scores: NDArray[np.float64], readings: Readings
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Flag and p-value of each study by the run's reading of it; none where its score there is another.

    number  `[n]` of each case's study, -1 = none
    """
    flags, p_values = np.full(len(scores), UNJUDGED, np.uint8), np.full(len(scores), np.nan)
    told = np.zeros(len(scores), bool)
    for study, path in zip(number.tolist(), cases.paths_read, strict=True):
        if study < 0 or told[study] or (reading := readings.studies.get(path)) is None:
            continue
        told[study] = True
        score, highest = reading.score, float(scores[study])
        if score is not None and abs(score - highest) <= 1e-8 + 1e-5 * abs(highest):
            if reading.flagged is not None:
                flags[study] = FLAGGED if reading.flagged else NOT_FLAGGED
            p_values[study] = np.nan if reading.p_value is None else reading.p_value
    return flags, p_values
