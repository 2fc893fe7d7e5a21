"""The same figures for parts of the test set: one finding against all normals, one subgroup by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

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
MOST_FINDINGS, MOST_CURVES = 200, 20
"""Findings that are judged, and that keep their curve, a point for each normal image."""


@dataclass(frozen=True, repr=False)
class Group(Short):
    """One part of the test set.

    decisions    at the calibrated threshold, None without one
    roc, youden  the curve and its oracle, chosen on these labels; None where a label is missing. The curve
                 also beyond the `MOST_CURVES` commonest findings
    """

    name: str
    normal: int
    abnormal: int
    auroc: Estimate
    average_precision: Estimate
    decisions: OperatingPoint | None
    roc: RocCurve | None
    youden: YoudenPoint | None


def commonest_findings(cases: PackedCases) -> dict[str, list[int]]:
    """The findings of abnormal images, commonest first, and which of `PackedCases.findings` hold each; an
    image may have several. Empty where no image names one."""
    cell, told = cases.findings()
    count: dict[str, int] = {}
    held_by: dict[str, list[int]] = {}
    for at, times in enumerate(np.bincount(cell[cases.abnormal], minlength=len(told)).tolist()):
        for finding in told[at] or (UNNAMED,):
            held_by.setdefault(finding, []).append(at)
            if times:
                count[finding] = count.get(finding, 0) + times
    if set(count) <= {UNNAMED}:
        return {}
    return {name: held_by[name] for name in sorted(count, key=lambda name: (-count[name], name))}


def per_finding(
    cases: PackedCases, findings: Mapping[str, list[int]], units: Units, promise: Promise, how: Resampling
) -> tuple[Group, ...]:
    """The commonest findings of abnormal images, at most `MOST_FINDINGS`, each against all normals: where
    every image has another, as free text has, all of them would take a time that grows with the square of
    their number."""
    cell, told = cases.findings()

    def only(cells: list[int]) -> Units:
        has = np.zeros(len(told), bool)
        has[cells] = True
        return units.only(~cases.abnormal | has[cell])

    judged = islice(findings.items(), MOST_FINDINGS)
    return tuple(
        _group(finding, only(cells), promise, how, curve=at < MOST_CURVES)
        for at, (finding, cells) in enumerate(judged)
    )


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


def _group(name: str, units: Units, promise: Promise, how: Resampling, *, curve: bool = True) -> Group:
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
        roc=roc_curve(units.abnormal, units.scores) if both_labels and curve else None,
        youden=youden(units.abnormal, units.scores) if both_labels else None,
    )
