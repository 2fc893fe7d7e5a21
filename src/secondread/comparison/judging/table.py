"""Runs become the rows of a table: means over seeds with intervals, paired tests, ranks, costs.

AUROC differences are tested by resampling patients and seeds together (`metrics.paired`); where each
patient has one image, DeLong's test of the seeds' mean stands beside it. Holm's correction is over each
family of tests: against the reference, against the trivial baselines, and all other pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from secondread.comparison.judging.notes import notes
from secondread.comparison.judging.results import Results
from secondread.comparison.judging.rows import MethodRow, Spread, method_row
from secondread.errors import UserError
from secondread.metrics.delong import delong_test
from secondread.metrics.paired import Resampled, WeightedStatistic, resampled_aurocs
from secondread.metrics.precision_recall import weighted_average_precision
from secondread.metrics.ranks import holm, spearman
from secondread.metrics.roc import auroc, weighted_auroc
from secondread.wording.html_tables import html_block, html_line, html_table
from secondread.wording.numbers import count, number, p_value, signed, span
from secondread.wording.short import shortened

MISSED = 8
"""Images shown of each kind, the hardest for all methods."""
Family = Literal["reference", "trivial", "others"]
FAMILIES: Mapping[Family, str] = {
    "reference": "against the reference",
    "trivial": "against the trivial baselines",
    "others": "other pairs",
}


@dataclass(frozen=True)
class Pair:
    """Mean AUROC of `first` minus that of `second`.

    p_value  from the bootstrap over patients and seeds; `p_holm` corrected within the family; NaN where a
             label has too few patients (`metrics.few_patients`)
    delong   DeLong's p-value of the seeds' mean, the fits taken as given; None where a patient has
             several images, or a label too few
    """

    first: str
    second: str
    family: Family
    difference: float
    interval: tuple[float, float]
    p_value: float
    p_holm: float
    delong: float | None


@dataclass(frozen=True)
class Contaminated:
    """AUROC of a method by share of abnormal images among its normals, over the seeds that have all."""

    name: str
    shares: tuple[float, ...]
    auroc: tuple[Spread, ...]


@dataclass(frozen=True)
class Missed:
    """A test image and its rank in [0, 1] by each method (1 = the most abnormal of all)."""

    path: str
    abnormal: bool
    findings: tuple[str, ...]
    ranks: Mapping[str, float]


@dataclass(frozen=True)
class Table:
    """Everything that the written comparison shows.

    rows       best AUROC first
    agreement  Spearman correlation of `MethodRow.scores`, `[rows, rows]`
    missed     the hardest images for all methods together: the abnormal ones whose best rank over the
               methods is lowest, and the normal ones whose lowest rank is highest
    notes      what a reader must know: other normals, missing runs, images left out
    """

    results: Results
    rows: tuple[MethodRow, ...]
    pairs: tuple[Pair, ...]
    agreement: NDArray[np.float64]
    contaminated: tuple[Contaminated, ...]
    missed: tuple[Missed, ...]
    notes: tuple[str, ...]
    bootstrap: int
    seed: int

    def __repr__(self) -> str:
        best, images = self.rows[0], len(self.results.images.abnormal)
        area = f"{number(best.auroc.mean)} ({span(best.auroc_interval)})"
        return (
            f"<Table of {count(len(self.rows), 'method')} on {count(images, 'image')}; highest AUROC {area}: "
            f"{shortened(best.name, 60)}>"
        )

    def _repr_html_(self) -> str:
        """As notebooks show it: the methods by AUROC. `comparison.writing` writes all there is."""
        lines = [
            (
                row.name,
                "reference" if row.reference else "trivial" if row.trivial else "",
                len(row.seeds),
                number(row.auroc.mean),
                number(row.auroc.deviation),
                span(row.auroc_interval),
                number(row.average_precision.mean),
                span(row.average_precision_interval),
            )
            for row in self.rows
        ]
        pairs = [
            (f"{p.first} − {p.second}", signed(p.difference, p.interval), p_value(p.p_holm))
            for p in self.pairs
            if p.family == "reference"
        ]
        heads = ("against the reference", "difference in AUROC", "p (Holm)")
        images = count(len(self.results.images.abnormal), "test image")
        return html_block(
            f"Comparison on {images} of {Path(self.results.plan.manifest.source).name}",
            html_table(
                ("method", "", "seeds", "AUROC", "SD over seeds", "95 %", "AP", "95 %"), lines, left=2
            ),
            html_table(heads, pairs) if pairs else "",
            *map(html_line, self.notes),
            html_line("Research use, not a medical device."),
        )

    @property
    def many_seeds(self) -> bool:
        return any(len(row.seeds) > 1 for row in self.rows)


def make_table(results: Results, *, bootstrap: int = 2000, seed: int = 0) -> Table:
    """The table of all finished runs; a method without one is left to the notes.

    bootstrap, seed  of the resampling of patients and seeds

    Raises UserError where no run without contamination has finished, and where the images that every run
    scored are of one label, or of so few patients that most resamples are.
    """
    images = results.images
    methods = [m for m in results.plan.methods if results.of(m.name)]
    if not methods:
        raise UserError(f"{results.folder}: no run without contamination has finished")
    if len(set(images.abnormal.tolist())) < 2:
        raise UserError(f"{results.folder}: the images that every run scored are all of one label")
    runs = {method.name: results.of(method.name) for method in methods}
    scores = {name: np.stack([run.scores for run in own]) for name, own in runs.items()}

    def resampled(statistic: WeightedStatistic) -> Resampled:
        return resampled_aurocs(
            images.abnormal,
            list(scores.values()),
            images.patients,
            seeds=[[run.run.seed for run in own] for own in runs.values()],
            repeats=bootstrap,
            seed=seed,
            statistic=statistic,
        )

    drawn = resampled(weighted_auroc)
    try:
        intervals, of_precision = drawn.intervals(), resampled(weighted_average_precision).intervals()
    except ValueError as error:
        raise UserError(f"{results.folder}: no interval can be drawn, {error}") from error
    place = {name: index for index, name in enumerate(runs)}
    rows = [
        method_row(results, method, runs[method.name], interval, precision, rank)
        for method, interval, precision, rank in zip(
            methods, intervals, of_precision, drawn.ranks(), strict=True
        )
    ]
    reference = results.plan.reference
    trivial = {method.name for method in methods if method.trivial}

    def family(first: str, second: str) -> Family:
        if reference in (first, second):
            return "reference"
        return "trivial" if (first in trivial) != (second in trivial) else "others"

    order = sorted(rows, key=lambda row: -row.auroc.mean)
    pairs: list[Pair] = []
    for one, other in combinations([row.name for row in order], 2):
        swap = one == reference or (other != reference and one in trivial and other not in trivial)
        first, second = (other, one) if swap else (one, other)
        test = drawn.difference(place[first], place[second])
        delong = None
        if images.one_each and images.enough_to_test:
            delong = delong_test(images.abnormal, scores[first], scores[second]).p_value
        pairs.append(
            Pair(
                first,
                second,
                family(first, second),
                test.value,
                (test.interval.low, test.interval.high),
                test.p_value,
                1.0,
                delong,
            )
        )
    return Table(
        results=results,
        rows=tuple(order),
        pairs=_corrected(pairs),
        agreement=_agreement(order),
        contaminated=_contaminated(results, [m.name for m in methods]),
        missed=_missed(results, order),
        notes=notes(results),
        bootstrap=bootstrap,
        seed=seed,
    )


def _corrected(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """With Holm's correction over each family."""
    found = list(pairs)
    for family in FAMILIES:
        own = [index for index, pair in enumerate(found) if pair.family == family]
        if own:
            for index, value in zip(own, holm([found[i].p_value for i in own]), strict=True):
                found[index] = replace(found[index], p_holm=float(value))
    return tuple(found)


def _agreement(rows: Sequence[MethodRow]) -> NDArray[np.float64]:
    matrix = np.eye(len(rows))
    for i, j in combinations(range(len(rows)), 2):
        try:
            matrix[i, j] = matrix[j, i] = spearman(rows[i].scores, rows[j].scores).rho
        except ValueError:
            matrix[i, j] = matrix[j, i] = np.nan
    return matrix


def _contaminated(results: Results, names: Sequence[str]) -> tuple[Contaminated, ...]:
    found = []
    for name in names:
        by_share = {0.0: results.of(name)} | {
            share: runs for share in results.plan.contamination if (runs := results.of(name, share))
        }
        seeds = set.intersection(*({run.run.seed for run in runs} for runs in by_share.values()))
        if len(by_share) < 2 or not seeds:
            continue
        areas = [
            Spread.over([auroc(results.images.abnormal, r.scores) for r in runs if r.run.seed in seeds])
            for runs in by_share.values()
        ]
        found.append(Contaminated(name, tuple(by_share), tuple(areas)))
    return tuple(found)


def _missed(results: Results, rows: Sequence[MethodRow]) -> tuple[Missed, ...]:
    """The worst of both kinds, most missed first: abnormal ones, then normal ones."""
    images = results.images
    ranks = np.stack([row.scores for row in rows])
    highest, lowest = ranks.max(axis=0), ranks.min(axis=0)
    abnormal = np.flatnonzero(images.abnormal)
    normal = np.flatnonzero(~images.abnormal)
    chosen = [
        *abnormal[np.argsort(highest[abnormal], kind="stable")][:MISSED],
        *normal[np.argsort(-lowest[normal], kind="stable")][:MISSED],
    ]
    return tuple(
        Missed(
            images.paths[index],
            bool(images.abnormal[index]),
            images.cases[index].findings,
            {row.name: float(row.scores[index]) for row in rows},
        )
        for index in chosen
    )
