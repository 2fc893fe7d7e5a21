"""Ranking and decisions at one level: per image, or per study (the highest score of its images)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secondread.evaluation.cases import Case
from secondread.evaluation.estimates import (
    Curves,
    Estimate,
    Resampling,
    area_estimate,
    curves,
    precision_estimate,
)
from secondread.evaluation.operating import OperatingPoint, operating_points
from secondread.evaluation.promise import Promise
from secondread.evaluation.units import Unit, Units
from secondread.metrics.decisions import flag_everything_f1
from secondread.readings.reading import Reading
from secondread.readings.readings import Readings
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


def image_units(cases: Sequence[Case]) -> Units:
    flags = [case.reading.flagged for case in cases]
    return Units(
        names=tuple(case.path for case in cases),
        abnormal=np.array([case.abnormal for case in cases], bool),
        scores=np.array([case.score for case in cases], float),
        flagged=None if any(flag is None for flag in flags) else np.array(flags, bool),
        p_values=np.array(
            [np.nan if case.reading.p_value is None else case.reading.p_value for case in cases], float
        ),
        groups=np.array([case.group for case in cases], str),
    )


def study_units(cases: Sequence[Case], readings: Readings) -> Units:
    """Studies: abnormal where any image is, scored by their highest image, decided by `studies.csv`.
    Equal study ids of two patients are two studies.

    Decisions and p-values are the run's own, so they are left out where a study's score there is not
    the highest among its test images (the run saw images of the study that are not in the test).
    """
    members: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        if case.study:
            members.setdefault((case.patient, case.study), []).append(case)
    groups = list(members.values())
    scores = [max(case.score for case in group) for group in groups]
    decisions = [decision(group, score, readings) for group, score in zip(groups, scores, strict=True)]
    complete = [found.flagged for found in decisions if found is not None and found.flagged is not None]
    p_values = [None if found is None else found.p_value for found in decisions]
    return Units(
        names=tuple(study for _, study in members),
        abnormal=np.array([any(case.abnormal for case in group) for group in groups], bool),
        scores=np.array(scores, float),
        flagged=np.array(complete, bool) if len(complete) == len(groups) else None,
        p_values=np.array([np.nan if p is None else p for p in p_values], float),
        groups=np.array([patient or study for patient, study in members], str),
    )


def decision(group: Sequence[Case], score: float, readings: Readings) -> Reading | None:
    """The run's reading of the study whose test images these are; None where its score is another."""
    by_worst = (readings.studies.get(case.reading.path) for case in group)
    found = next((reading for reading in by_worst if reading is not None), None)
    if found is None or found.score is None or not np.isclose(found.score, score, rtol=1e-5, atol=1e-8):
        return None
    return found
