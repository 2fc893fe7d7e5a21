"""Measured figures of a table that has run, each beside what was published of its row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondread.comparison.judging.results import Images
from secondread.comparison.judging.rows import Spread
from secondread.comparison.judging.table import Table
from secondread.metrics.decisions import decide
from secondread.metrics.precision_recall import average_precision, best_f1
from secondread.metrics.roc import auroc
from secondread.reproduction.paper import Figure, Metric, published_value
from secondread.reproduction.planned_tables import PlannedRow, PlannedTable

FEWEST = 2
"""Images of a finding below which no figure of it is given."""


@dataclass(frozen=True)
class Beside:
    """One figure of a row.

    measured   over the seeds; None where no run of the row has finished, or the test has too few images of
               the finding
    interval   95 %, of the AUROC and the average precision over all findings
    finding    as the manifest calls it; empty = all
    published  (value, where it stands), as many as there are
    """

    row: str
    metric: Metric
    finding: str
    measured: Spread | None
    interval: tuple[float, float] | None
    published: tuple[tuple[float, str, str], ...]
    at: float | None = None


def measured_table(planned: PlannedTable, table: Table | None, dataset: str) -> tuple[Beside, ...]:
    """The figures of a table's rows, in their order; `table` is None where nothing has run."""
    return tuple(beside for row in planned.rows for beside in _of_row(planned, row, table, dataset))


def _of_row(planned: PlannedTable, row: PlannedRow, table: Table | None, dataset: str) -> list[Beside]:
    wanted: dict[tuple[Metric, str], list[Figure]] = {(metric, ""): [] for metric in planned.table.metrics}
    for finding in planned.findings:
        wanted.setdefault(("auroc", finding), [])
    for figure in row.row.published:
        wanted.setdefault((figure.metric, _finding(figure, planned)), [])
    for figure in row.figures:
        wanted.setdefault((figure.metric, _finding(figure, planned)), []).append(figure)
    found = []
    for (metric, finding), figures in wanted.items():
        values = [
            (*value, figure.system)
            for figure in figures
            if (value := published_value(figure, dataset)) is not None
        ]
        measured = None if table is None else _measured(table, row.name, metric, finding)
        interval = _interval(table, row.name, metric, finding)
        found.append(Beside(row.name, metric, finding, measured, interval, tuple(values), row.at))
    return found


def _finding(figure: Figure, planned: PlannedTable) -> str:
    """A finding's number becomes its name."""
    if figure.finding.startswith("#"):
        return planned.findings[int(figure.finding[1:]) - 1]
    return figure.finding


def _measured(table: Table, name: str, metric: Metric, finding: str) -> Spread | None:
    images = table.results.images
    chosen = _chosen(images, finding)
    labels = images.abnormal[chosen]
    if int(labels.sum()) < FEWEST or len(labels) - int(labels.sum()) < FEWEST:
        return None
    runs = table.results.of(name)
    if not runs:
        return None
    return Spread.of([FIGURES[metric](labels, run.scores[chosen]) for run in runs])


def _chosen(images: Images, finding: str) -> NDArray[np.bool_]:
    """All normals, and the abnormal images with one of the words in a finding."""
    if not finding:
        return np.ones(len(images.abnormal), bool)
    words = finding.lower().split("|")
    with_it = [any(word in one.lower() for word in words for one in case.findings) for case in images.cases]
    return ~images.abnormal | np.array(with_it, bool)


def _interval(table: Table | None, name: str, metric: Metric, finding: str) -> tuple[float, float] | None:
    if table is None or finding:
        return None
    row = next((row for row in table.rows if row.name == name), None)
    if row is None:
        return None
    by_metric = {"auroc": row.auroc_interval, "average_precision": row.average_precision_interval}
    return by_metric.get(metric)


def _at_best_f1(figure: str) -> Callable[[NDArray[np.bool_], NDArray[np.float64]], float]:
    """At the threshold that is best for F1 on these very images."""

    def measure(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
        flagged = scores >= best_f1(labels, scores).threshold
        return float(getattr(decide(labels, flagged), figure))

    return measure


FIGURES: dict[Metric, Callable[[NDArray[np.bool_], NDArray[np.float64]], float]] = {
    "auroc": lambda labels, scores: float(auroc(labels, scores)),
    "average_precision": lambda labels, scores: float(average_precision(labels, scores)),
    **{metric: _at_best_f1(metric) for metric in ("f1", "accuracy", "sensitivity", "specificity")},
}
