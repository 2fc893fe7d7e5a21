"""The same figures for parts of the test set: one finding against all normals, one subgroup by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secondread.cohorts.sequences import PLACES
from secondread.evaluation.cases import Case
from secondread.evaluation.estimates import (
    Estimate,
    Resampling,
    area_estimate,
    one_label_only,
    precision_estimate,
)
from secondread.evaluation.operating import OperatingPoint, decided
from secondread.evaluation.promise import Promise
from secondread.evaluation.units import Units
from secondread.metrics.roc import RocCurve, YoudenPoint, roc_curve, youden
from secondread.wording.short import Short

FEWEST_VALUES, MOST_VALUES = 2, 12


@dataclass(frozen=True, repr=False)
class Group(Short):
    """One part of the test set.

    decisions    at the calibrated threshold, None without one
    roc, youden  the curve and its oracle, chosen on these labels; None where a label is missing
    """

    name: str
    normal: int
    abnormal: int
    auroc: Estimate
    average_precision: Estimate
    decisions: OperatingPoint | None
    roc: RocCurve | None
    youden: YoudenPoint | None


def per_finding(cases: Sequence[Case], units: Units, promise: Promise, how: Resampling) -> tuple[Group, ...]:
    """Each finding of abnormal images against all normals, commonest first; an image may have several."""
    count: dict[str, int] = {}
    for case in cases:
        if case.abnormal:
            for finding in case.findings or ("(no finding given)",):
                count[finding] = count.get(finding, 0) + 1
    if set(count) <= {"(no finding given)"}:
        return ()
    return tuple(
        _group(
            finding,
            units.only(
                np.array(
                    [
                        not case.abnormal or finding in (case.findings or ("(no finding given)",))
                        for case in cases
                    ],
                    bool,
                )
            ),
            promise,
            how,
        )
        for finding in sorted(count, key=lambda name: (-count[name], name))
    )


def per_subgroup(
    cases: Sequence[Case], units: Units, promise: Promise, how: Resampling
) -> dict[str, tuple[Group, ...]]:
    """For every further column of the manifest with 2 to 12 values among the cases: each value's figures. The
    place in a sequence makes no group."""
    columns = list(dict.fromkeys(column for case in cases for column in case.extra if column not in PLACES))
    tables = {}
    for column in columns:
        values = np.array([case.extra.get(column, "(empty)") for case in cases], str)
        distinct = sorted(set(values.tolist()))
        if FEWEST_VALUES <= len(distinct) <= MOST_VALUES and len(distinct) * 2 <= len(cases):
            tables[column] = tuple(
                _group(value, units.only(values == value), promise, how) for value in distinct
            )
    return tables


def _group(name: str, units: Units, promise: Promise, how: Resampling) -> Group:
    decisions = None
    if units.flagged is not None:
        decisions = decided(
            units,
            units.flagged,
            name,
            "calibrated",
            how,
            None,
            promised=promise.rate,
            threshold=promise.threshold,
        )
    given = (units.abnormal, units.scores, units.groups, how)
    both_labels = one_label_only(units.abnormal) is None
    return Group(
        name=name,
        normal=int((~units.abnormal).sum()),
        abnormal=int(units.abnormal.sum()),
        auroc=area_estimate(*given),
        average_precision=precision_estimate(*given),
        decisions=decisions,
        roc=roc_curve(units.abnormal, units.scores) if both_labels else None,
        youden=youden(units.abnormal, units.scores) if both_labels else None,
    )
