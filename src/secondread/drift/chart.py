"""The chart of a stream: both CUSUMs against their limit, and the evidence against its threshold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from secondread.drawing.palette import ABNORMAL, FAINT, INK, METHOD, ORACLE
from secondread.drawing.style import ROW, STYLE, WIDE
from secondread.drift.of_readings import Stream
from secondread.drift.watch import Change, Point
from secondread.outputs.whole import whole_file

LOWEST = 1e-6
"""Of a threshold: evidence below is drawn there."""


def chart_size(rows: int) -> tuple[float, float]:
    """Width and height in inches."""
    return WIDE, 0.5 + ROW * rows


def draw_chart(
    figure: Figure, streams: Sequence[tuple[str, Sequence[Point], Sequence[Change]]], x: str = "study"
) -> None:
    """A row for each stream: its title, its points, and its alarms as vertical lines."""
    grid = figure.subplots(len(streams), 2, squeeze=False)
    for (left, right), (title, points, changes) in zip(grid, streams, strict=True):
        studies = np.array([point.study for point in points])
        left.axhline(1, color=ABNORMAL, linewidth=0.9, linestyle=(0, (4, 2)))
        left.axhline(-1, color=ABNORMAL, linewidth=0.9, linestyle=(0, (4, 2)))
        left.plot(studies, [p.up for p in points], color=METHOD, linewidth=1.3, label="higher")
        left.plot(
            studies, [-p.down for p in points], color=ORACLE, linewidth=1.3, linestyle="-.", label="lower"
        )
        left.set_ylim(-1.15, 1.15)
        left.set_ylabel("CUSUM / limit")
        right.axhline(1, color=ABNORMAL, linewidth=0.9, linestyle=(0, (4, 2)))
        evidence = np.clip([p.evidence for p in points], LOWEST, None)
        right.plot(studies, evidence, color=INK, linewidth=1.2)
        right.set_yscale("log")
        right.set_ylim(LOWEST, 10)
        right.set_ylabel("evidence / threshold")
        left.set_title(f"{title}: scores, CUSUM", fontsize=9.5, loc="left")
        right.set_title("scores, evidence against exchangeability", fontsize=9.5, loc="left")
        for axes, watchers in ((left, ("cusum",)), (right, ("score",))):
            _alarms(axes, changes, watchers)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axes.set_xlabel(x)
        left.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2, borderaxespad=0)


def _alarms(axes: Axes, changes: Sequence[Change], own: Sequence[str]) -> None:
    """Alarms of the drawn statistic as lines, those of others as faint ones."""
    for change in changes:
        mine = change.watcher in own
        if mine or change.watcher not in ("score", "cusum"):
            axes.axvline(
                change.study, color=ABNORMAL if mine else FAINT, linewidth=1.2 if mine else 0.7,
                linestyle=":" if not mine else "-",
            )  # fmt: skip


def write_chart(streams: Sequence[Stream], out: Path) -> Path:
    """Write the chart as a picture (PNG)."""
    shown = [(stream.scanner, tuple(stream.watch.trace), stream.changes) for stream in streams]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=chart_size(len(shown)), layout="constrained")
        draw_chart(figure, shown)
        with whole_file(out) as file:
            figure.savefig(file, format="png", dpi=150, facecolor="white")
    return out
