"""Intervals by resampling patients, so that many images of one patient do not pass for many patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtri

from secondread.metrics.few_patients import FEWEST_TO_RESAMPLE, newcombe_auroc, patients_of_each
from secondread.metrics.labelled_scores import Floats, labelled_scores
from secondread.metrics.patients import Patients, patient_numbers
from secondread.metrics.precision_recall import average_precision, weighted_average_precision
from secondread.metrics.roc import auroc, roc_curve, weighted_auroc
from secondread.metrics.shares import clopper_pearson

Statistic = Callable[[Floats], Floats]
"""Image weights `[b, n]` (how often each image was drawn) to values `[b]`; NaN = undefined there."""

OfFew = Callable[[float, tuple[int, int], float], tuple[float, float]]
"""An area, the patients with an abnormal and with a normal image, and the level, to an interval that does not
rest on resampling."""

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


def area_interval(
    value: float,
    draws: ArrayLike,
    of_each: tuple[int, int],
    of_few: OfFew,
    level: float = 0.95,
) -> Interval:
    """Interval of an area `value` in [0, 1] with `draws` `[repeats]` of its bootstrap.

    It is made `on_logit_scale`: near 1 the percentiles of the draws hold
    the truth too seldom, since a sample without errors has none in any resample. With fewer than
    `few_patients.FEWEST_TO_RESAMPLE` patients of a label (`of_each`), and where the draws do not vary, it
    reaches as far as the interval that `of_few` gives. ValueError where most draws are undefined.

    The logit scale as in M. Pepe, The Statistical Evaluation of Medical Tests (2003), 5.2, and for average
    precision K. Boyd, K. Eng, C. Page, ECML PKDD 2013.
    """
    found = on_logit_scale(value, draws, level)
    if found.low == found.high or min(of_each) < FEWEST_TO_RESAMPLE:
        return found.reaching(*of_few(value, of_each, level))
    return found


def on_logit_scale(value: float, draws: ArrayLike, level: float = 0.95) -> Interval:
    """`logit(value) ± z sd(draws) / (value (1 - value))`, turned back; the value itself where it is 0 or 1 or
    no draw differs. ValueError where most draws are undefined."""
    defined = interval(draws, level).defined
    drawn = np.asarray(draws, dtype=np.float64)
    error = float(np.std(drawn[np.isfinite(drawn)]))
    if not 0 < value < 1 or error <= 1e-12:
        return Interval(value, value, defined)
    reach = float(ndtri((1 + level) / 2)) * error / (value * (1 - value))
    low, high = expit(logit(value) + np.array([-reach, reach]))
    return Interval(float(low), float(high), defined)


def auroc_of_few(area: float, of_each: tuple[int, int], level: float) -> tuple[float, float]:
    """Newcombe's interval (`few_patients.newcombe_auroc`)."""
    return newcombe_auroc(min(max(area, 0.0), 1.0), *of_each, level)


def average_precision_of_few(area: float, of_each: tuple[int, int], level: float) -> tuple[float, float]:
    """Clopper's and Pearson's of as many answers as there are abnormal patients: the binomial interval of K.
    Boyd, K. Eng, C. Page, ECML PKDD 2013, with exact ends."""
    return clopper_pearson(min(area, 1.0) * of_each[0], of_each[0], level)


def auroc_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Patients | None = None,
    *,
    repeats: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Bootstrap interval of the AUROC (`area_interval`); without `patients` every image is its own.

    With few patients, and at an AUROC of 0 or 1, it reaches as far as Newcombe's
    (`few_patients.newcombe_auroc`).

    >>> found = auroc_interval([0] * 30 + [1] * 30, range(60))
    >>> round(found.low, 3), found.high
    (0.933, 1.0)
    """
    abnormal, values = labelled_scores(labels, scores)
    chosen = _or_each_image(patients, values.size)
    draws = [weighted_auroc(abnormal, values, w) for w in patient_weights(chosen, repeats, seed)]
    of_each = patients_of_each(abnormal, patient_numbers(chosen))
    return area_interval(auroc(abnormal, values), np.concatenate(draws), of_each, auroc_of_few, level)


def average_precision_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Patients | None = None,
    *,
    repeats: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Bootstrap interval of the average precision (`area_interval`); without `patients` every image is its
    own.

    With few patients, and at an average precision of 1, it reaches as far as that of
    `average_precision_of_few`.
    """
    abnormal, values = labelled_scores(labels, scores)
    chosen = _or_each_image(patients, values.size)
    draws = [weighted_average_precision(abnormal, values, w) for w in patient_weights(chosen, repeats, seed)]
    of_each = patients_of_each(abnormal, patient_numbers(chosen))
    value = average_precision(abnormal, values)
    return area_interval(value, np.concatenate(draws), of_each, average_precision_of_few, level)


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
    """Pointwise bootstrap band of sensitivity over false-positive rates 0 to 1 (linear between points).

    Where no resample differs, and everywhere with fewer than `few_patients.FEWEST_TO_RESAMPLE` abnormal
    patients, it reaches as far as Clopper's and Pearson's interval of the sensitivity in so many patients.
    """
    abnormal, values = labelled_scores(labels, scores)
    chosen = _or_each_image(patients, values.size)
    grid = np.linspace(0.0, 1.0, points)
    heights = []
    for found, alarmed in _cumulated(abnormal, values, chosen, repeats, seed):
        x, y = np.append(0.0, alarmed / alarmed[-1]), np.append(0.0, found / found[-1])
        # where the curve jumps (equal x) np.interp takes the top of the jump
        heights.append(np.interp(grid, x, y))
    band = _band(grid, heights, level)
    curve = roc_curve(abnormal, values)
    own = np.interp(grid, curve.false_positive_rate, curve.sensitivity)
    count = patients_of_each(abnormal, patient_numbers(chosen))[0]
    low, high = band.low.copy(), band.high.copy()
    for place in range(points - 1):  # at a rate of 1 the sensitivity is 1, whatever the patients
        if count < FEWEST_TO_RESAMPLE or low[place] == high[place]:
            least, most = clopper_pearson(own[place] * count, count, level)
            low[place], high[place] = min(low[place], least), max(high[place], most)
    return Band(grid, low, high)


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
