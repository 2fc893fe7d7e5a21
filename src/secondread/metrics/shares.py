"""Intervals of shares: sensitivity, specificity, predictive values, rates of false alarms, accuracy, F1.

Resampling knows nothing beyond what it was given: 30 right of 30 would be 1.000 to 1.000. These are Clopper's
and Pearson's intervals, which hold the truth at least as often as they say, with the number of images reduced
to the number of independent ones that say as much (E. Korn, B. Graubard, Survey Methodology 24 (1998)
193-201; chosen for official statistics in J. Parker and others, National Center for Health Statistics, Vital
Health Stat. 2(175), 2017). `benchmarks/statistics/coverage.py` shows how often they hold the truth.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, stdtrit

from secondread.metrics.labelled_scores import Floats, as_labels
from secondread.metrics.patients import Patients, patient_numbers

FEWEST_OF_EACH = 5
"""Patients with an error, and with none but right answers, from which the answers of one patient are seen to
resemble one another or not; with fewer they are taken as all alike."""


def clopper_pearson(successes: float, trials: float, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share: quantile a/2 of Beta(k, n - k + 1) and 1 - a/2 of Beta(k + 1, n - k).

    Neither number need be whole. ValueError unless 0 <= k <= n and n > 0. C. Clopper, E. Pearson, Biometrika
    26 (1934) 404-413.

    >>> [round(end, 3) for end in clopper_pearson(30, 30)]
    [0.884, 1.0]
    """
    if not 0 <= successes <= trials or trials <= 0:
        raise ValueError(f"{successes} of {trials} is no share")
    tail = (1 - level) / 2
    low = 0.0 if successes <= 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes >= trials else float(betaincinv(successes + 1, trials - successes, 1 - tail))
    return low, high


def share_interval(
    right: ArrayLike, patients: Patients | None = None, *, level: float = 0.95, extra_variance: float = 0.0
) -> tuple[float, float]:
    """Interval of the share of true ones among `[n]` answers.

    With one image for each patient it is Clopper's and Pearson's interval of k
    of n. Else n gives way to `effective_size`. `extra_variance` is that of what the images do not show, such
    as the squared standard error over seeds. ValueError for no answer.

    >>> [round(end, 3) for end in share_interval([True] * 30)]
    [0.884, 1.0]
    >>> [round(end, 3) for end in share_interval([True] * 30, patients=[i // 3 for i in range(30)])]
    [0.692, 1.0]
    """
    values = as_labels(right).astype(np.float64)
    size = effective_size(right, patients, level=level, extra_variance=extra_variance)
    share = float(values.mean())
    return clopper_pearson(min(share * size, size), size, level)


def effective_size(
    right: ArrayLike, patients: Patients | None = None, *, level: float = 0.95, extra_variance: float = 0.0
) -> float:
    """How many independent images say as much of a share as these do.

    n over the design effect, that is the variance of the mean between patients, `C / (C - 1) sum_c (r_c - p
    n_c)^2 / n^2` with r_c right of the n_c images of patient c, over that of independent images, `p (1 - p) /
    (n - 1)`; times the squared ratio of Student's t of n - 1 and of C - 1 degrees of freedom (Korn and
    Graubard, who need it for few patients). It lies between `n^2 / sum_c n_c^2`, where all images of a
    patient say the same (L. Kish, Survey Sampling, 1965), and n. Where fewer than `FEWEST_OF_EACH` patients
    have an error, or fewer have a right answer, nothing is to be seen of how alike a patient's images are,
    and it is the former.
    """
    values = as_labels(right).astype(np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"answers {values.shape} give no share; a vector of at least one is needed")
    n = values.size
    numbers = patient_numbers([None] * n if patients is None else patients)
    if numbers.size != n:
        raise ValueError(f"{numbers.size} patients are given for {n} images")
    images: Floats = np.bincount(numbers).astype(np.float64)
    found = np.bincount(numbers, weights=values)
    count, share = images.size, float(values.mean())
    least = n**2 / float((images**2).sum())
    if count < 2:
        return least
    ordinary = share * (1 - share) / (n - 1)
    between = count / (count - 1) * float(((found - share * images) ** 2).sum()) / n**2
    if ordinary <= 0:
        return least
    if count == n:
        size = float(n)
    elif min((found < images).sum(), (found > 0).sum()) < FEWEST_OF_EACH:
        size = least
    else:
        narrower = float(stdtrit(n - 1, (1 + level) / 2) / stdtrit(count - 1, (1 + level) / 2)) ** 2
        size = min(max(n * ordinary / between * narrower if between > 0 else n, least), n)
    if extra_variance > 0:
        size = 1 / (1 / size + extra_variance / (share * (1 - share)))
    return max(size, 1.0) if math.isfinite(size) else least
