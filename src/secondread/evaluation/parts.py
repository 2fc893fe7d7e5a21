"""What each raw part of the score is worth by itself, and whether the score follows the background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from secondread.evaluation.estimates import (
    Estimate,
    Resampling,
    area_estimate,
    correlation_estimate,
    precision_estimate,
)
from secondread.evaluation.packed_cases import PackedCases
from secondread.evaluation.units import Units
from secondread.readings.readings import Readings
from secondread.readings.score_record import PartRecord
from secondread.wording.short import Short

BACKGROUND = "background"
"""The part that holds the share of background pixels in an image, where a detector measures it."""


@dataclass(frozen=True, repr=False)
class PartEvaluation(Short):
    """One raw part of all test images.

    values  `[n]` as the detector gave them
    median  of validation normals where the part is two-tailed: far from it, either way, = more abnormal.
            None where higher = more abnormal
    weight  in the score; None or 0 where the part is reported and not mixed. Calibrations of before 0.2
            keep no tail of such a part, and it is judged as higher = more abnormal
    auroc   of the values, folded about the median where two-tailed
    average_precision  of the same
    """

    name: str
    values: NDArray[np.float64]
    median: float | None
    weight: float | None
    auroc: Estimate
    average_precision: Estimate

    @property
    def tail(self) -> Literal["upper", "two"]:
        return "upper" if self.median is None else "two"


@dataclass(frozen=True, repr=False)
class Background(Short):
    """Whether scores follow the share of background pixels, as raw likelihoods do.

    values  `[n]` the share, of all test images
    score   Spearman correlation of the score with it among normals
    parts   the same of every other raw part, by name
    """

    values: NDArray[np.float64]
    score: Estimate
    parts: Mapping[str, Estimate]


def judge_parts(
    cases: PackedCases, units: Units, readings: Readings, how: Resampling
) -> tuple[PartEvaluation, ...]:
    """The parts that every test image has, in the table's order."""
    calibration = readings.run.calibration
    mixed = {} if calibration is None else calibration.parts
    columns = ((name, cases.numbers(f"part_{name}")) for name in cases.part_names if len(cases))
    return tuple(
        _judge(name, values, units, mixed.get(name), how)
        for name, values in columns
        if not np.isnan(values).any()
    )


def _judge(
    name: str, values: NDArray[np.float64], units: Units, mixed: PartRecord | None, how: Resampling
) -> PartEvaluation:
    median = mixed.median if mixed is not None and mixed.tail == "two" else None
    judged = values if median is None else np.abs(values - median)
    return PartEvaluation(
        name=name,
        values=values,
        median=median,
        weight=None if mixed is None else mixed.weight,
        auroc=area_estimate(units.abnormal, judged, units.groups, how),
        average_precision=precision_estimate(units.abnormal, judged, units.groups, how),
    )


def follow_background(units: Units, parts: Sequence[PartEvaluation]) -> Background | None:
    """None where the detector measured no background."""
    found = next((part for part in parts if part.name == BACKGROUND), None)
    if found is None:
        return None
    normal = ~units.abnormal
    share = found.values[normal]
    return Background(
        values=found.values,
        score=correlation_estimate(units.scores[normal], share),
        parts={
            part.name: correlation_estimate(part.values[normal], share)
            for part in parts
            if part.name != BACKGROUND
        },
    )
