"""The figures of a comparison as CSV, unrounded: one row per run, per method, per pair, per published number.

An empty cell is a figure that there is not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from secondread import tables
from secondread.comparison.judging.results import Results, RunResult
from secondread.comparison.judging.rows import PIXEL, SPECIFICITIES, MethodRow, Spread, method_row
from secondread.comparison.judging.table import Table
from secondread.comparison.writing.published import PublishedRow
from secondread.metrics.bootstrap import Interval
from secondread.metrics.paired import Rank

Row = Mapping[str, Any]
NONE = math.nan
NO_INTERVAL = Interval(NONE, NONE, 0.0)


def results_csv(results: Results) -> str:
    """Each finished run: its figures on the images that every run scored, its costs, what it learned from.

    Pixel figures and `score_follows_acquisition` are those of the run's own `metrics.json`.
    """
    return _csv([_run(results, run) for run in results.runs])


def _run(results: Results, result: RunResult) -> Row:
    run, cost = result.run, result.cost
    method = results.plan.method(run.method)
    alone = method_row(results, method, [result], NO_INTERVAL, NO_INTERVAL, Rank(NONE, NONE, NONE))
    return {
        "method": run.method,
        "trivial": method.trivial,
        "reference": alone.reference,
        "seed": run.seed,
        "contamination": run.contamination,
        **{name: None if found is None else found.mean for name, found in _judged(alone).items()},
        "false_alarm_rate_promised": alone.promised,
        "train_seconds": cost.train_seconds,
        "score_seconds_per_image": cost.score_seconds,
        "peak_memory_bytes": cost.peak_memory_bytes,
        "gpu_memory_bytes": cost.gpu_memory_bytes,
        "parameters": cost.parameters,
        "bundle_bytes": cost.bundle_bytes,
        "device": cost.device,
        "threads": cost.threads,
        **{f"cohort_{name}": count for name, count in result.cohorts.items()},
        "notes": "; ".join(result.notes),
        "folder": run.place.as_posix(),
    }


def table_csv(table: Table) -> str:
    """Each method over its seeds: `_mean` and `_sd` of every figure; `_low` and `_high` the interval of
    AUROC, average precision, and of what the calibrated threshold gives."""
    return _csv([_method(row) for row in table.rows])


def _method(row: MethodRow) -> Row:
    costs = {
        "train_seconds": row.train_seconds,
        "score_seconds_per_image": row.score_seconds,
        "peak_memory_bytes": row.peak_memory_bytes,
    }
    intervals = {
        "auroc": row.auroc_interval,
        "average_precision": row.average_precision_interval,
        "sensitivity": row.sensitivity_interval,
        "f1": row.f1_interval,
        "false_alarm_rate": row.false_alarm_interval,
    }
    spreads: dict[str, Any] = {}
    for name, found in (_judged(row) | costs).items():
        spreads[f"{name}_mean"] = None if found is None else found.mean
        spreads[f"{name}_sd"] = None if found is None else found.deviation
        if name in intervals:
            spreads[f"{name}_low"], spreads[f"{name}_high"] = intervals[name] or (None, None)
    return {
        "method": row.name,
        "trivial": row.trivial,
        "reference": row.reference,
        "seeds": " ".join(map(str, row.seeds)),
        **spreads,
        "false_alarm_rate_promised": row.promised,
        "rank_mean": row.rank,
        "rank_low": row.rank_range[0],
        "rank_high": row.rank_range[1],
        "parameters": row.parameters,
        "bundle_bytes": row.bundle_bytes,
    }


def _judged(row: MethodRow) -> dict[str, Spread | None]:
    return {
        "auroc": row.auroc,
        "average_precision": row.average_precision,
        **{f"sensitivity_at_{level:g}": row.sensitivity_at[level] for level in SPECIFICITIES},
        "sensitivity": row.sensitivity,
        "specificity": row.specificity,
        "f1": row.f1,
        "false_alarm_rate": row.false_alarm_rate,
        **{f"pixel_{metric}": row.pixel.get(metric) for metric in PIXEL},
        "score_follows_acquisition": row.shortcut,
    }


def pairs_csv(table: Table) -> str:
    """Each test of two methods: `difference` is the mean AUROC of the first minus that of the second."""
    return _csv(
        [
            {
                "family": pair.family,
                "first": pair.first,
                "second": pair.second,
                "difference": pair.difference,
                "difference_low": pair.interval[0],
                "difference_high": pair.interval[1],
                "p": pair.p_value,
                "p_holm": pair.p_holm,
                "p_delong": pair.delong,
            }
            for pair in table.pairs
        ],
        head=("family", "first", "second"),
    )


def published_csv(rows: Sequence[PublishedRow]) -> str:
    """One line per number, each with its own protocol."""
    return _csv([row.model_dump() for row in rows], head=tuple(PublishedRow.model_fields))


def _csv(rows: Sequence[Row], head: Sequence[str] = ()) -> str:
    """Columns in the order in which they first appear; `head` stands even over no rows."""
    columns = list(dict.fromkeys([*head, *(name for row in rows for name in row)]))
    return tables.table([columns, *([_cell(row.get(name)) for name in columns] for row in rows)])


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(float(value)) if isinstance(value, float) else str(value)
