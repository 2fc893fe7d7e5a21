"""Several methods, each fitted with several seeds, compared on the same images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, stdtr

from secondread.metrics.bootstrap import (
    Interval,
    OfFew,
    area_interval,
    auroc_of_few,
    average_precision_of_few,
    interval,
    patient_weights,
)
from secondread.metrics.few_patients import FEWEST, difference_of_aurocs, patients_of_each, tested
from secondread.metrics.labelled_scores import Bools, Floats, labelled_seeds
from secondread.metrics.midranks import midranks
from secondread.metrics.patients import Patients, patient_numbers
from secondread.metrics.precision_recall import weighted_average_precision
from secondread.metrics.roc import weighted_auroc

WeightedStatistic = Callable[[Bools, Floats, Floats], Floats]
"""Labels `[n]`, scores `[n]` and image weights `[b, n]` to values `[b]`; NaN = undefined there."""

OF_FEW: Mapping[WeightedStatistic, OfFew] = {
    weighted_auroc: auroc_of_few,
    weighted_average_precision: average_precision_of_few,
}


@dataclass(frozen=True)
class Difference:
    """The first method's mean over seeds minus the second's.

    `z` is the difference over its bootstrap standard error; `p_value` is two-sided, from Student's t with
    `degrees_of_freedom` (inf = the normal distribution).
    """

    first: int
    second: int
    value: float
    interval: Interval
    z: float
    degrees_of_freedom: float
    p_value: float


@dataclass(frozen=True)
class Rank:
    """Rank 1 is the best, ties take the middle: `mean` over the resamples, and the central range there."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Resampled:
    """What `resampled_aurocs` found for M methods.

    seed_values   per method `[S_m]`, the statistic of each seed on the images as they are
    draws         `[repeats, M]`, the mean over seeds in each resample; NaN where it is undefined
    seeds         per method the numbers of its seeds; none = 0 to S_m - 1
    of_each       patients with an abnormal and with a normal image, where the statistic is the AUROC or the
                  average precision; then few patients widen intervals and give no p-value
                  (`metrics.few_patients`)
    patients      in all
    of_few        the statistic's interval that does not rest on resampling
    """

    seed_values: tuple[Floats, ...]
    draws: Floats
    seeds: tuple[tuple[int, ...], ...] | None = None
    of_each: tuple[int, int] | None = None
    patients: int = 0
    of_few: OfFew | None = None

    @property
    def means(self) -> Floats:
        """`[M]` means over seeds on the images as they are."""
        return np.array([values.mean() for values in self.seed_values])

    def intervals(self, level: float = 0.95) -> list[Interval]:
        """Interval of each method's mean over seeds, from the spread of its draws on the logit scale
        (`bootstrap.area_interval`); with few patients, and where no draw differs, it reaches as far as
        Newcombe's too. Of another statistic than the AUROC it is clipped percentiles alone."""
        return [self._interval(index, level) for index in range(len(self.seed_values))]

    def _interval(self, index: int, level: float) -> Interval:
        drawn = self.draws[:, index]
        if self.of_each is None or self.of_few is None:
            found = interval(drawn, level)
            return Interval(max(0.0, found.low), min(1.0, found.high), found.defined)
        return area_interval(float(self.means[index]), drawn, self.of_each, self.of_few, level)

    def difference(self, first: int, second: int, level: float = 0.95) -> Difference:
        """The difference of two methods with its percentile interval and a two-sided p-value.

        The p-value rests on the standard error of the draws, `z = d / sd(d*)`, and not on the share of
        draws beyond 0: that share cannot fall below `2 / (B + 1)` with B draws, and Holm's correction
        over the 300 pairs of 25 methods multiplies it by 300, so that with B = 2000 no pair could ever
        count as different. z is referred to Student's t with Satterthwaite's degrees of freedom (Biometrics
        Bulletin 2 (1946) 110-114), `sd(d*)^4 / sum_k (v_k^2 / (S_k - 1))` with v the squared standard
        errors that come from seeds: the normal distribution for one seed and nearly so where images
        dominate, wider where a few seeds do. The interval makes no such allowance: where 3 seeds dominate
        the images, about 0.8 of the 95 % intervals hold the true difference.

        p is 1 where the difference is 0, NaN with fewer than `few_patients.FEWEST` patients of a label, and
        never below `few_patients.smallest_p_value`. With so few, and where the draws of neither method differ
        (an AUROC of 0 or 1), the interval reaches as far as the two methods' own intervals let it
        (`few_patients.difference_of_aurocs`).
        """
        drawn = self.draws[:, first] - self.draws[:, second]
        found = interval(drawn, level)
        means = self.means
        value = float(means[first] - means[second])
        variance = float(np.var(drawn[np.isfinite(drawn)], ddof=1))
        uncertain = sum(v * v / (seeds - 1) for v, seeds in self._seed_variances(first, second))
        freedom = variance**2 / uncertain if uncertain > 0 else np.inf
        if variance <= 1e-16:
            z = 0.0 if abs(value) < 1e-12 else float(np.copysign(np.inf, value))
        else:
            z = value / float(np.sqrt(variance))
        p_value = float(2 * (stdtr(freedom, -abs(z)) if np.isfinite(freedom) else ndtr(-abs(z))))
        if self.of_each is not None:
            p_value = tested(z, p_value, self.of_each, self.patients)
            flat = [np.nanmin(self.draws[:, i]) == np.nanmax(self.draws[:, i]) for i in (first, second)]
            if all(flat) or min(self.of_each) < FEWEST:
                own = [(float(means[i]), self._interval(i, level)) for i in (first, second)]
                found = found.reaching(*difference_of_aurocs(*((a, i.low, i.high) for a, i in own)))
        return Difference(first, second, value, found, z, float(freedom), p_value)

    def differences(self, level: float = 0.95) -> list[Difference]:
        """All pairs, (0, 1), (0, 2), ...; correct their p-values with `secondread.metrics.ranks.holm`."""
        return [self.difference(i, j, level) for i, j in combinations(range(len(self.seed_values)), 2)]

    def ranks(self, level: float = 0.95) -> list[Rank]:
        """Rank of each method among all, by its draws: the highest value has rank 1."""
        defined = self.draws[np.isfinite(self.draws).all(axis=1)]
        found = midranks(-defined)
        low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=0, method="inverted_cdf")
        return [Rank(float(m), float(a), float(b)) for m, a, b in zip(found.mean(0), low, high, strict=True)]

    def _seed_variances(self, first: int, second: int) -> list[tuple[float, int]]:
        """Squared standard errors that come from seeds, with their number: of the paired differences where
        both methods have the same seeds, of each method alone where they have not."""
        a, b = self.seed_values[first], self.seed_values[second]
        alike = a.size == b.size if self.seeds is None else self.seeds[first] == self.seeds[second]
        parts = [a - b] if alike else [a, b]
        return [(float(part.var(ddof=1)) / part.size, part.size) for part in parts if part.size > 1]


def resampled_aurocs(
    labels: ArrayLike,
    scores: Sequence[ArrayLike],
    patients: Patients,
    *,
    seeds: Sequence[Sequence[int]] | None = None,
    repeats: int = 2000,
    seed: int = 0,
    statistic: WeightedStatistic = weighted_auroc,
) -> Resampled:
    """Resamples of M methods' mean AUROC over their seeds, that differ by patients and by seeds.

    `labels` `[n]`; `scores` one `[S_m, n]` array per method, a row per seed; `seeds` the number of each row's
    seed (none = 0 to S_m - 1). In repeat b, patients are drawn with replacement, the same for all methods and
    seeds, which gives image weights w; and seeds are drawn with replacement, the same for all methods that
    have the same seeds, and independently where they have not. With `A_s(w)` the AUROC of seed s and
    `c_s` how often that seed was drawn,

    `draw_b = mean_s A_s(w) + sqrt(S / (S - 1)) * sum_s (c_s - 1) / S * A_s(1)`.

    S values drawn from S spread by a variance (S - 1) / S too small: by a third for 3 seeds, by half for
    2. The square root makes up for it, so that the variance of the draws is that of the patients' bootstrap
    plus `s^2 / S`, s^2 the sample variance of the seeds (B. Efron, R. Tibshirani, An Introduction to the
    Bootstrap, 1993, on n / (n - 1)). One seed tells nothing of other seeds: for S = 1 the draws are
    conditional on the fit.

    The seeds enter by their values on all images, A_s(1). What two seeds do differently on single images
    is part of both terms and thus counted twice (drawing both at once, A_s(w) in both, counts it three
    times: A. Owen, Annals of Applied Statistics 1 (2007) 386-411), which errs on the side of wide intervals.
    A draw may leave [0, 1] a little.

    `statistic` may be any weighted one in [0, 1], such as `weighted_average_precision`. ValueError for
    scores that are no `[S, n]`, or `patients` or `seeds` of another length.
    """
    abnormal, methods = labelled_seeds(labels, scores)
    if len(patients) != abnormal.size:
        raise ValueError(f"{len(patients)} patients are given for {abnormal.size} images")
    numbers = tuple(map(tuple, seeds or [range(len(rows)) for rows in methods]))
    if [len(own) for own in numbers] != [len(rows) for rows in methods]:
        raise ValueError("there must be a seed for each row of scores")
    every = np.ones((1, abnormal.size))
    seed_values = tuple(
        np.array([float(statistic(abnormal, row, every)[0]) for row in rows]) for rows in methods
    )
    chunks = [
        np.stack([np.mean([statistic(abnormal, row, w) for row in rows], axis=0) for rows in methods], axis=1)
        for w in patient_weights(patients, repeats, seed)
    ]
    deviations = np.stack(
        [
            _seed_deviations(values, own, repeats, seed)
            for values, own in zip(seed_values, numbers, strict=True)
        ],
        axis=1,
    )
    number = patient_numbers(patients)
    return Resampled(
        seed_values,
        np.concatenate(chunks) + deviations,
        numbers,
        patients_of_each(abnormal, number) if statistic in OF_FEW else None,
        int(number.max()) + 1,
        OF_FEW.get(statistic),
    )


def _seed_deviations(values: Floats, own: tuple[int, ...], repeats: int, seed: int) -> Floats:
    """`[repeats]` deviations of a mean of `[S]` values drawn with replacement, of variance s^2 / S; the same
    draws for the same seeds."""
    count = values.size
    if count == 1:
        return np.zeros(repeats)
    stream = [seed, count, *([] if own == tuple(range(count)) else own)]
    drawn = np.random.default_rng(stream).integers(0, count, size=(repeats, count))
    deviations: Floats = values[drawn].mean(axis=1) - values.mean()
    return np.asarray(deviations * np.sqrt(count / (count - 1)), dtype=np.float64)
