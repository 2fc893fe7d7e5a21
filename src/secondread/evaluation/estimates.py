"""A figure with its interval, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondread.errors import UserError
from secondread.metrics.bootstrap import (
    Band,
    Interval,
    auroc_interval,
    average_precision_interval,
    precision_recall_band,
    roc_band,
)
from secondread.metrics.precision_recall import (
    PrecisionRecallCurve,
    average_precision,
    precision_recall_curve,
)
from secondread.metrics.ranks import spearman
from secondread.metrics.roc import RocCurve, auroc, roc_curve
from secondread.wording.short import Short


@dataclass(frozen=True)
class Resampling:
    """How intervals are made: patients drawn with replacement, `repeats` times, from `seed`."""

    repeats: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.repeats < 20:
            raise UserError(f"bootstrap {self.repeats}: an interval needs at least 20 resamples")


@dataclass(frozen=True)
class Estimate:
    """`value` is None where `reason` says why; `interval` is None where resampling gave none."""

    value: float | None
    interval: tuple[float, float] | None = None
    reason: str = ""


@dataclass(frozen=True, repr=False)
class Curves(Short):
    """ROC and precision–recall with pointwise 95 % bands (None where too few patients have a label)."""

    roc: RocCurve
    roc_band: Band | None
    precision_recall: PrecisionRecallCurve
    precision_recall_band: Band | None


def area_estimate(
    abnormal: NDArray[np.bool_], scores: NDArray[np.float64], groups: NDArray[np.int64], how: Resampling
) -> Estimate:
    """AUROC with its patient-grouped interval."""
    if (reason := one_label_only(abnormal)) is not None:
        return Estimate(None, reason=reason)
    return Estimate(
        auroc(abnormal, scores),
        _pair(lambda: auroc_interval(abnormal, scores, groups, repeats=how.repeats, seed=how.seed)),
    )


def precision_estimate(
    abnormal: NDArray[np.bool_], scores: NDArray[np.float64], groups: NDArray[np.int64], how: Resampling
) -> Estimate:
    """Average precision with its patient-grouped interval."""
    if (reason := one_label_only(abnormal)) is not None:
        return Estimate(None, reason=reason)
    return Estimate(
        average_precision(abnormal, scores),
        _pair(
            lambda: average_precision_interval(abnormal, scores, groups, repeats=how.repeats, seed=how.seed)
        ),
    )


def correlation_estimate(first: NDArray[np.float64], second: NDArray[np.float64]) -> Estimate:
    """Spearman's rank correlation of two `[n]` vectors."""
    try:
        return Estimate(spearman(first, second).rho)
    except ValueError as error:
        return Estimate(None, reason=str(error))


def curves(
    abnormal: NDArray[np.bool_], scores: NDArray[np.float64], groups: NDArray[np.int64], how: Resampling
) -> Curves | None:
    """Both curves, or None where one label is missing."""
    if one_label_only(abnormal) is not None:
        return None
    repeats = min(how.repeats, 1000)
    return Curves(
        roc=roc_curve(abnormal, scores),
        roc_band=_or_none(lambda: roc_band(abnormal, scores, groups, repeats=repeats, seed=how.seed)),
        precision_recall=precision_recall_curve(abnormal, scores),
        precision_recall_band=_or_none(
            lambda: precision_recall_band(abnormal, scores, groups, repeats=repeats, seed=how.seed)
        ),
    )


def one_label_only(abnormal: NDArray[np.bool_]) -> str | None:
    """Why ranking cannot be judged on these labels, or None where it can."""
    if not len(abnormal):
        return "nothing was scored"
    if abnormal.all():
        return "no normal case was scored"
    if not abnormal.any():
        return "no abnormal case was scored"
    return None


def _pair(make) -> tuple[float, float] | None:  # type: ignore[no-untyped-def]
    found: Interval | None = _or_none(make)
    return None if found is None else (found.low, found.high)


def _or_none(make):  # type: ignore[no-untyped-def]
    """Intervals need both labels in most resamples; metrics raise ValueError where that fails."""
    try:
        return make()
    except ValueError:
        return None
