"""Operating points: what flagging at a threshold gives, and where that threshold came from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from secondread.calibration.conformal import at_most
from secondread.evaluation.estimates import Estimate, Resampling
from secondread.evaluation.promise import Promise
from secondread.evaluation.units import Units
from secondread.metrics.decisions import (
    Decisions,
    decide,
    decision_intervals,
    predictive_intervals,
    predictive_values,
)
from secondread.metrics.precision_recall import best_f1
from secondread.metrics.realised_rate import patients_needed
from secondread.metrics.roc import youden
from secondread.wording.short import Short

Kind = Literal["calibrated", "rate", "oracle"]


@dataclass(frozen=True, repr=False)
class OperatingPoint(Short):
    """Decisions at one threshold, with patient-grouped intervals.

    kind       calibrated: the run's own threshold; rate: another conformal false-alarm rate, read off
               the p-values; oracle: chosen on these very labels, so out of reach in use
    promised   the false-alarm rate that calibration promised, if any
    threshold  scores at or above it are flagged; None where decisions came from p-values
    ppv, npv   at the stated prevalence, or None where none was stated
    """

    name: str
    kind: Kind
    promised: float | None
    threshold: float | None
    table: Decisions
    sensitivity: Estimate
    specificity: Estimate
    precision: Estimate
    f1: Estimate
    accuracy: Estimate
    ppv: Estimate | None = None
    npv: Estimate | None = None

    @property
    def false_alarm_rate(self) -> Estimate:
        """Observed among normals: one minus specificity."""
        value, interval = self.specificity.value, self.specificity.interval
        return Estimate(
            None if value is None else 1 - value,
            None if interval is None else (1 - interval[1], 1 - interval[0]),
            self.specificity.reason,
        )


def operating_points(
    units: Units, promise: Promise, rates: Sequence[float], how: Resampling, prevalence: float | None
) -> tuple[OperatingPoint, ...]:
    """The run's own decisions, those at other conformal rates (flag where p ≤ rate) for which there were
    calibration patients enough, and the oracles."""
    abnormal, scores = units.abnormal, units.scores
    points = []
    if units.flagged is not None:
        points.append(
            decided(
                units, units.flagged, "Calibrated threshold", "calibrated", how, prevalence,
                promised=promise.rate, threshold=promise.threshold,
            )
        )  # fmt: skip
    if len(units) and not np.isnan(units.p_values).any():
        for rate in rates:
            if promise.rate is None or not math.isclose(rate, promise.rate):
                if promise.patients is not None and promise.patients < patients_needed(rate):
                    continue  # no p-value can be that small, and to flag nothing is no decision
                at_rate, name = units.p_values <= at_most(rate), f"p ≤ {rate:g}"
                points.append(decided(units, at_rate, name, "rate", how, prevalence, promised=rate))
    if abnormal.any() and not abnormal.all():
        for name, threshold in (
            ("Youden", youden(abnormal, scores).threshold),
            ("Best F1", best_f1(abnormal, scores).threshold),
        ):
            above = scores >= threshold
            points.append(decided(units, above, name, "oracle", how, prevalence, threshold=threshold))
    return tuple(points)


def decided(
    units: Units,
    flagged: NDArray[np.bool_],
    name: str,
    kind: Kind,
    how: Resampling,
    prevalence: float | None,
    *,
    promised: float | None = None,
    threshold: float | None = None,
) -> OperatingPoint:
    """One set of decisions. A share of nothing is None with its reason; so are precision, F1 and
    accuracy where a label is missing."""
    table = decide(units.abnormal, flagged)
    normal, abnormal = int((~units.abnormal).sum()), int(units.abnormal.sum())
    intervals = decision_intervals(units.abnormal, flagged, units.groups)

    def estimate(share: str, reason: str) -> Estimate:
        value = float(getattr(table, share))
        interval = intervals[share]
        if reason or math.isnan(value):
            return Estimate(None, reason=reason or "nothing was flagged")
        return Estimate(value, interval)

    no_normal = "" if normal else "no normal case was scored"
    no_abnormal = "" if abnormal else "no abnormal case was scored"
    ppv, npv = _predictive(table, intervals, prevalence) if normal and abnormal else (None, None)
    return OperatingPoint(
        name=name,
        kind=kind,
        promised=promised,
        threshold=threshold,
        table=table,
        sensitivity=estimate("sensitivity", no_abnormal),
        specificity=estimate("specificity", no_normal),
        precision=estimate("precision", no_normal or no_abnormal),
        f1=estimate("f1", no_normal or no_abnormal),
        accuracy=estimate("accuracy", no_normal or no_abnormal),
        ppv=ppv,
        npv=npv,
    )


def _predictive(
    table: Decisions, intervals: Mapping[str, tuple[float, float] | None], prevalence: float | None
) -> tuple[Estimate | None, Estimate | None]:
    """Both predictive values at a stated prevalence; None without one."""
    sensitivity, specificity = intervals["sensitivity"], intervals["specificity"]
    if prevalence is None or sensitivity is None or specificity is None:
        return None, None
    values = predictive_values(table.sensitivity, table.specificity, prevalence)
    positive, negative = predictive_intervals(
        (table.sensitivity, sensitivity), (table.specificity, specificity), prevalence
    )
    return (
        _estimate(values.positive, positive, "nothing was flagged"),
        _estimate(values.negative, negative, "everything was flagged"),
    )


def _estimate(value: float, interval: tuple[float, float], reason: str) -> Estimate:
    return Estimate(None, reason=reason) if math.isnan(value) else Estimate(value, interval)
