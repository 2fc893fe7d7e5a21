"""Intervals by resampling patients, so that many images of one patient do not pass for many patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secondread.metrics.decisions import weighted_decisions
from secondread.metrics.few_patients import FEWEST, clopper_pearson, newcombe_auroc, patients_of_each
from secondread.metrics.labelled_scores import Floats, as_labels, labelled_scores
from secondread.metrics.patients import Patients, patient_numbers
from secondread.metrics.precision_recall import weighted_average_precision
from secondread.metrics.roc import auroc, weighted_auroc

Statistic = Callable[[Floats], Floats]
"""Image weights `[b, n]` (how often each image was drawn) to values `[b]`; NaN = undefined there."""

_VALUES_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Interval:
    """Percentile interval. `defined` is the share of repeats in which the statistic had a value."""

    low: float
    high: float
    defined: float = 1.0

    def reaching(self, low: float, high: float) -> Interval:
        """The same, widened where it does not reach as far."""
        return Interval(min(self.low, low), max(self.high, high), self.defined)


@dataclass(frozen=True)
class Band:
    """Pointwise interval of a curve over `x`."""

    x: Floats
    low: Floats
    high: Floats


def patient_weights(patients: Patients, repeats: int, seed: int) -> Iterator[Floats]:
    """Chunks `[b, n]` of image weights: patients drawn with replacement, `repeats` times.

    Every image of a patient counts as often as the patient was drawn. A patient of None or "" is one
    of its own. The same seed gives the same draws whatever the statistic, so that differences are paired.
    """
    number = patient_numbers(patients)
    if not number.size:
        raise ValueError("there are no images to resample")
    count = int(number.max()) + 1
    random = np.random.default_rng(seed)
    at_once = max(1, _VALUES_AT_ONCE // max(count, number.size))
    for start in range(0, repeats, at_once):
        rows = min(at_once, repeats - start)
        drawn = random.integers(0, count, size=(rows, count)) + np.arange(rows)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        yield times[:, number].astype(np.float64)


def bootstrap(
    statistic: Statistic, patients: Patients, *, repeats: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Percentile interval of `statistic` over repeats that draw patients with replacement.

    Repeats without a value (one class only) are left out and their share is reported; ValueError
    where fewer than half have one.
    """
    values = np.concatenate([statistic(weights) for weights in patient_weights(patients, repeats, seed)])
    return interval(values, level)


def interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """The central `level` of the defined values `[repeats]`."""
    drawn = np.asarray(values, dtype=np.float64)
    defined = drawn[np.isfinite(drawn)]
    if defined.size * 2 < drawn.size or not defined.size:
        raise ValueError(
            f"the statistic has a value in {defined.size} of {drawn.size} resamples: "
            "too few patients of a class"
        )
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), defined.size / drawn.size)


def auroc_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Patients | None = None,
    *,
    repeats: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Bootstrap interval of the AUROC; without `patients` every image is its own.

    Where no resample can differ (an AUROC of 0 or 1), and with fewer than `few_patients.FEWEST` patients of a
    label, it reaches as far as Newcombe's interval of so many patients too (`few_patients.newcombe_auroc`).
    """
    abnormal, values = labelled_scores(labels, scores)
    chosen = _or_each_image(patients, values.size)
    found = bootstrap(
        lambda weights: weighted_auroc(abnormal, values, weights),
        chosen,
        repeats=repeats,
        seed=seed,
        level=level,
    )
    of_each = patients_of_each(abnormal, patient_numbers(chosen))
    if found.low < found.high and min(of_each) >= FEWEST:
        return found
    return found.reaching(*newcombe_auroc(auroc(abnormal, values), *of_each, level))


def average_precision_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Patients | None = None,
    *,
    repeats: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Bootstrap interval of the average precision; without `patients` every image is its own."""
    abnormal, values = labelled_scores(labels, scores)
    return bootstrap(
        lambda weights: weighted_average_precision(abnormal, values, weights),
        _or_each_image(patients, values.size),
        repeats=repeats,
        seed=seed,
        level=level,
    )


def decision_intervals(
    labels: ArrayLike,
    flagged: ArrayLike,
    patients: Patients | None = None,
    *,
    repeats: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval | None]:
    """Intervals of sensitivity, specificity, precision, f1 and accuracy of fixed flags.

    Where no resample can differ (a share of 0 or 1), where most leave the share undefined, and with fewer
    than `few_patients.FEWEST` patients in it, the interval reaches as far as Clopper's and Pearson's of so
    many patients too (`few_patients.clopper_pearson`). None for a share of nothing (precision where nothing
    is flagged).
    """
    abnormal, flags = as_labels(labels), as_labels(flagged)
    chosen = _or_each_image(patients, len(abnormal))
    chunks = [
        weighted_decisions(abnormal, flags, weights) for weights in patient_weights(chosen, repeats, seed)
    ]
    numbers = patient_numbers(chosen)
    judged = {
        "sensitivity": abnormal,
        "specificity": ~abnormal,
        "precision": flags,
        "f1": abnormal | flags,
        "accuracy": np.ones_like(abnormal),
    }
    right = abnormal == flags
    result: dict[str, Interval | None] = {}
    for name, among in judged.items():
        if not among.any():
            result[name] = None
            continue
        values = np.concatenate([chunk[name] for chunk in chunks])
        defined = np.isfinite(values).mean()
        found = interval(values, level) if defined >= 0.5 else None
        count = len(np.unique(numbers[among]))
        if found is None or found.low == found.high or count < FEWEST:
            exact = clopper_pearson(count * float(right[among].mean()), count, level)
            if name == "f1":  # 2 J / (1 + J), with J the share of true positives among all but true negatives
                exact = (2 * exact[0] / (1 + exact[0]), 2 * exact[1] / (1 + exact[1]))
            found = Interval(*exact, defined) if found is None else found.reaching(*exact)
        result[name] = found
    return result


def roc_band(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Patients | None = None,
    *,
    points: int = 101,
    repeats: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Band:
    """Pointwise bootstrap band of sensitivity over false-positive rates 0 to 1 (linear between points)."""
    abnormal, values = labelled_scores(labels, scores)
    grid = np.linspace(0.0, 1.0, points)
    heights = []
    for found, alarmed in _cumulated(abnormal, values, _or_each_image(patients, values.size), repeats, seed):
        x, y = np.append(0.0, alarmed / alarmed[-1]), np.append(0.0, found / found[-1])
        # where the curve jumps (equal x) np.interp takes the top of the jump
        heights.append(np.interp(grid, x, y))
    return _band(grid, heights, level)


def precision_recall_band(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Patients | None = None,
    *,
    points: int = 101,
    repeats: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Band:
    """Pointwise bootstrap band of precision over recall in (0, 1]: at recall r the precision of the
    highest threshold that reaches r."""
    abnormal, values = labelled_scores(labels, scores)
    grid = np.linspace(1.0 / (points - 1), 1.0, points - 1)
    heights = []
    for found, alarmed in _cumulated(abnormal, values, _or_each_image(patients, values.size), repeats, seed):
        first = np.searchsorted(found / found[-1], grid - 1e-12)
        heights.append(found[first] / (found[first] + alarmed[first]))
    return _band(grid, heights, level)


def _cumulated(
    abnormal: NDArray[np.bool_], values: Floats, patients: Patients, repeats: int, seed: int
) -> Iterator[tuple[Floats, Floats]]:
    """For each repeat with both classes: weights of abnormal and of normal images at or above each
    distinct score, from the highest score down."""
    order = np.argsort(-values, kind="stable")
    starts = np.append(0, np.flatnonzero(np.diff(values[order])) + 1)
    for weights in patient_weights(patients, repeats, seed):
        drawn = weights[:, order]
        found = np.cumsum(np.add.reduceat(drawn * abnormal[order], starts, axis=1), axis=1)
        alarmed = np.cumsum(np.add.reduceat(drawn * ~abnormal[order], starts, axis=1), axis=1)
        for row in np.flatnonzero((found[:, -1] > 0) & (alarmed[:, -1] > 0)):
            yield found[row], alarmed[row]


def _band(grid: Floats, heights: list[Floats], level: float) -> Band:
    if not heights:
        raise ValueError("no resample holds both classes: too few patients of a class")
    low, high = np.quantile(np.stack(heights), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Band(grid, low, high)


def _or_each_image(patients: Patients | None, count: int) -> Patients:
    chosen: Patients = [None] * count if patients is None else patients
    if len(chosen) != count:
        raise ValueError(f"{len(chosen)} patients are given for {count} images")
    return chosen
