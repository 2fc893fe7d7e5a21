"""The score beside simpler ones on the same images: trivial baselines, and itself without complexity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondread.detectors import trivial
from secondread.detectors.trivial import column_of
from secondread.evaluation.estimates import (
    Estimate,
    Resampling,
    area_estimate,
    correlation_estimate,
    one_label_only,
    precision_estimate,
)
from secondread.evaluation.packed_cases import PackedCases
from secondread.evaluation.units import Units
from secondread.metrics.bootstrap import area_draws, interval
from secondread.metrics.few_patients import FEWEST, difference_of_aurocs, newcombe_auroc, patients_of_each
from secondread.metrics.patients import patient_numbers
from secondread.metrics.roc import WeightedAuroc, auroc
from secondread.wording.short import Short

BASELINES = {column_of(name): title for name, title in trivial.BASELINES.items()}


@dataclass(frozen=True, repr=False)
class Baseline(Short):
    """A trivial one-class score fitted on the same normals.

    lead  the method's AUROC minus the baseline's, on the same resamples
    """

    name: str
    auroc: Estimate
    lead: Estimate


@dataclass(frozen=True, repr=False)
class Complexity(Short):
    """The score with its complexity part, and the same score without it.

    `follows` and `follows_without`: Spearman correlation with the image's complexity among normals.
    """

    auroc: Estimate
    auroc_without: Estimate
    average_precision: Estimate
    average_precision_without: Estimate
    gain: Estimate
    follows: float | None
    follows_without: float | None
    values: NDArray[np.float64]
    scores_without: NDArray[np.float64]


def compare_baselines(
    cases: PackedCases, units: Units, how: Resampling, *, left_out: bool = False
) -> dict[str, Baseline]:
    """The three baselines by name, in a fixed order; a missing column gives an estimate with a reason.

    left_out  the bundle was handed over without the one that holds thumbnails of normals
    """
    found = {}
    for name in BASELINES:
        values = cases.numbers(f"baseline_{name}")
        if not len(values) or np.isnan(values).any():
            why = "the readings have no such column, or not for every image"
            if left_out and name == column_of("pixel-1nn"):
                why = "it was left out of the bundle when that was handed over"
            missing = Estimate(None, reason=why)
            found[name] = Baseline(name, missing, missing)
        else:
            found[name] = Baseline(
                name,
                area_estimate(units.abnormal, values, units.groups, how),
                difference(units, units.scores, values, how),
            )
    return found


def compare_complexity(cases: PackedCases, units: Units, how: Resampling) -> Complexity | None:
    """None where the run's calibration had no complexity part."""
    without = cases.numbers("score_without_complexity")
    if not len(without) or np.isnan(without).any():
        return None
    complexity = cases.numbers("part_complexity")
    normal = ~units.abnormal
    return Complexity(
        auroc=area_estimate(units.abnormal, units.scores, units.groups, how),
        auroc_without=area_estimate(units.abnormal, without, units.groups, how),
        average_precision=precision_estimate(units.abnormal, units.scores, units.groups, how),
        average_precision_without=precision_estimate(units.abnormal, without, units.groups, how),
        gain=difference(units, units.scores, without, how),
        follows=correlation_estimate(units.scores[normal], complexity[normal]).value,
        follows_without=correlation_estimate(without[normal], complexity[normal]).value,
        values=complexity,
        scores_without=without,
    )


def difference(
    units: Units, first: NDArray[np.float64], second: NDArray[np.float64], how: Resampling
) -> Estimate:
    """AUROC of the first score minus that of the second, with a paired patient-grouped interval."""
    if (reason := one_label_only(units.abnormal)) is not None:
        return Estimate(None, reason=reason)

    number = patient_numbers(units.groups)
    both = [WeightedAuroc(units.abnormal, scores, number) for scores in (first, second)]
    every = np.ones(len(units))  # as many as patients or more
    value = float(both[0](every)) - float(both[1](every))
    draws = area_draws(both, number, repeats=how.repeats, seed=how.seed)
    try:
        found = interval(draws[0] - draws[1])
    except ValueError:
        return Estimate(value)
    of_each = patients_of_each(units.abnormal, number)
    areas = [auroc(units.abnormal, scores) for scores in (first, second)]
    if min(of_each) < FEWEST or set(areas) <= {0.0, 1.0}:
        own = [(area, *newcombe_auroc(area, *of_each)) for area in areas]
        found = found.reaching(*difference_of_aurocs(*own))
    return Estimate(value, (found.low, found.high))
