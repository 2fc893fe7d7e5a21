"""Intervals by resampling patients, so that many images of one patient do not pass for many patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtri

from secondread.metrics.few_patients import FEWEST_TO_RESAMPLE, newcombe_auroc, patients_of_each
from secondread.metrics.labelled_scores import Columns, Floats, labelled_scores
from secondread.metrics.patients import Patients, patient_numbers
from secondread.metrics.precision_recall import WeightedAveragePrecision, average_precision
from secondread.metrics.roc import WeightedAuroc, auroc, roc_curve
from secondread.metrics.shares import clopper_pearson

Statistic = Callable[[Floats], Floats]
"""Image weights `[b, n]` (how often each image was drawn) to values `[b]`; NaN = undefined there."""

OfFew = Callable[[float, tuple[int, int], float], tuple[float, float]]
"""An area, the patients with an abnormal and with a normal image, and the level, to an interval that does not
rest on resampling."""

Area = Callable[[Floats], Floats]
"""How often each patient was drawn, `[b, patients]`, to values `[b]`: a `WeightedAuroc` of their numbers."""

_WEIGHTS_AT_ONCE, _DRAWS_AT_ONCE = 4_000_000, 500_000
"""Numbers in one array; those that stay in a processor's cache are gone through faster."""


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
    for times in _draws(number, repeats, seed, _WEIGHTS_AT_ONCE):
        yield times.take(number, axis=1)


def _draws(number: Columns, repeats: int, seed: int, at_once: int) -> Iterator[Floats]:
    """Chunks `[b, patients]`: how often each patient was drawn, the same whatever is done `at_once`."""
    if not number.size:
        raise ValueError("there are no images to resample")
    count = int(number.max()) + 1
    random = np.random.default_rng(seed)
    rows_at_once = max(1, at_once // max(count, number.size))
    for start in range(0, repeats, rows_at_once):
        rows = min(rows_at_once, repeats - start)
        drawn = random.integers(0, count, size=(rows, count)) + np.arange(rows)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        yield times.astype(np.float64)


def area_draws(areas: Sequence[Area], number: Columns, *, repeats: int = 2000, seed: int = 0) -> Floats:
    """`[areas, repeats]` of areas that were given the patients' numbers `[n]`, all on the same draws."""
    chunks = [
        np.stack([area(times) for area in areas]) for times in _draws(number, repeats, seed, _DRAWS_AT_ONCE)
    ]
    return np.concatenate(chunks, axis=1)


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
    number = _numbers(patients, values.size)
    draws = area_draws([WeightedAuroc(abnormal, values, number)], number, repeats=repeats, seed=seed)
    of_each = patients_of_each(abnormal, number)
    return area_interval(auroc(abnormal, values), draws[0], of_each, auroc_of_few, level)


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
    number = _numbers(patients, values.size)
    area = WeightedAveragePrecision(abnormal, values, number)
    draws = area_draws([area], number, repeats=repeats, seed=seed)
    of_each = patients_of_each(abnormal, number)
    return area_interval(
        average_precision(abnormal, values), draws[0], of_each, average_precision_of_few, level
    )


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
    number = _numbers(patients, values.size)
    grid = np.linspace(0.0, 1.0, points)
    heights = []
    for found, alarmed in _cumulated(abnormal, values, number, repeats, seed):
        x, y = np.append(0.0, alarmed / alarmed[-1]), np.append(0.0, found / found[-1])
        # where the curve jumps (equal x) np.interp takes the top of the jump
        heights.append(np.interp(grid, x, y))
    band = _band(grid, heights, level)
    curve = roc_curve(abnormal, values)
    own = np.interp(grid, curve.false_positive_rate, curve.sensitivity)
    count = patients_of_each(abnormal, number)[0]
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
    for found, alarmed in _cumulated(abnormal, values, _numbers(patients, values.size), repeats, seed):
        first = np.searchsorted(found / found[-1], grid - 1e-12)
        heights.append(found[first] / (found[first] + alarmed[first]))
    return _band(grid, heights, level)


def _cumulated(
    abnormal: NDArray[np.bool_], values: Floats, number: Columns, repeats: int, seed: int
) -> Iterator[tuple[Floats, Floats]]:
    """For each repeat with both classes: weights of abnormal and of normal images at or above each
    distinct score, from the highest score down."""
    order = np.argsort(-values, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(values[order])), values.size - 1)
    columns, ill = number[order], abnormal[order].astype(np.float64)
    for times in _draws(number, repeats, seed, _DRAWS_AT_ONCE):
        drawn = times.take(columns, axis=1)
        found = np.cumsum(drawn * ill, axis=1).take(last_of_tie, axis=1)
        alarmed = np.cumsum(drawn, axis=1).take(last_of_tie, axis=1) - found
        for row in np.flatnonzero((found[:, -1] > 0) & (alarmed[:, -1] > 0)):
            yield found[row], alarmed[row]


def _band(grid: Floats, heights: list[Floats], level: float) -> Band:
    if not heights:
        raise ValueError("no resample holds both classes: too few patients of a class")
    low, high = np.quantile(np.stack(heights), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Band(grid, low, high)


def _numbers(patients: Patients | None, count: int) -> Columns:
    """The patients' numbers; without patients every image is its own."""
    if patients is None:
        return np.arange(count)
    if len(patients) != count:
        raise ValueError(f"{len(patients)} patients are given for {count} images")
    return patient_numbers(patients)
