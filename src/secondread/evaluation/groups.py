"""The same figures for parts of the test set: one finding against all normals, one subgroup by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secondread.cohorts.sequences import PLACES
from secondread.evaluation.estimates import (
    Estimate,
    Resampling,
    area_estimate,
    one_label_only,
    precision_estimate,
)
from secondread.evaluation.operating import OperatingPoint, decided
from secondread.evaluation.packed_cases import UNNAMED, PackedCases, numbered
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


def per_finding(cases: PackedCases, units: Units, promise: Promise, how: Resampling) -> tuple[Group, ...]:
    """Each finding of abnormal images against all normals, commonest first; an image may have several."""
    cell, told = cases.findings()
    held = [found or (UNNAMED,) for found in told]
    count: dict[str, int] = {}
    for findings, times in zip(held, np.bincount(cell[cases.abnormal], minlength=len(held)), strict=True):
        for finding in findings if times else ():
            count[finding] = count.get(finding, 0) + int(times)
    if set(count) <= {UNNAMED}:
        return ()

    def only(finding: str) -> Units:
        has = np.array([finding in findings for findings in held], bool)
        return units.only(~cases.abnormal | has[cell])

    ordered = sorted(count, key=lambda name: (-count[name], name))
    return tuple(_group(finding, only(finding), promise, how) for finding in ordered)


def per_subgroup(
    cases: PackedCases, units: Units, promise: Promise, how: Resampling
) -> dict[str, tuple[Group, ...]]:
    """For every further column of the manifest with 2 to 12 values among the cases: each value's figures. The
    place in a sequence makes no group."""
    tables = {}
    for column in (name for name in cases.further() if name not in PLACES):
        values = [cell or "(empty)" for cell in cases.column(column)]
        known = dict.fromkeys(values)
        if FEWEST_VALUES <= len(known) <= MOST_VALUES and len(known) * 2 <= len(cases):
            number = numbered(values)
            tables[column] = tuple(
                _group(value, units.only(number == at), promise, how)
                for value, at in sorted(zip(known, range(len(known)), strict=True))
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
