"""Figures of a comparison: drawn once, kept as PNG and SVG files, and put into the page as inline SVG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from secondread.comparison.judging.rows import MethodRow
from secondread.comparison.judging.table import Table
from secondread.drawing.palette import BASELINE, FAINT, FINDINGS, INK, METHOD
from secondread.drawing.panels import unit_square
from secondread.drawing.style import HEIGHT, STYLE, WIDE, WIDTH
from secondread.metrics.roc import roc_curve
from secondread.outputs.private import make_folder
from secondread.reports.figures import Inline, save
from secondread.reports.label_places import free_places

CURVES = 8
"""The best methods in the ROC overlay, besides the reference and the best trivial baseline."""
POINTS = 400
"""Most false-alarm rates at which a curve is drawn."""
STYLES = [style for style in FINDINGS if style[0] not in (INK, BASELINE)]
STYLES += [(colour, ":") for colour, _ in STYLES]
MARKS = "osDv^P"


def draw_comparison(table: Table, folder: Path) -> dict[str, Inline]:
    """Draw what the table has figures for; write each as PNG and SVG; return inline SVG by name."""
    make_folder(folder)
    pages = {}
    for name, (draw, width, height) in comparison_drawings(table).items():
        with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
            figure = Figure(figsize=(width, height), layout="constrained")
            draw(figure, table)
            pages[name] = Inline(save(figure, folder / name), wide=width > WIDTH)
    return pages


def comparison_drawings(table: Table) -> dict[str, tuple[Callable[[Figure, Table], None], float, float]]:
    """The figures by name: how each is drawn, its width and its height in inches."""
    tall = max(HEIGHT, 1.0 + 0.27 * len(table.rows))
    drawings: dict[str, tuple[Callable[[Figure, Table], None], float, float]] = {
        "auroc": (draw_areas, WIDTH, tall),
        "ranks": (draw_ranks, WIDTH, tall),
        "cost": (draw_cost, WIDE, max(4.2, 0.8 + 0.2 * len(table.rows))),
        "roc": (draw_roc, WIDE, 4.6),
    }
    if len(table.rows) > 2:
        drawings["agreement"] = (draw_agreement, WIDE, 2.2 + 0.34 * len(table.rows))
    if table.contaminated:
        drawings["contamination"] = (
            draw_contamination, WIDE, max(HEIGHT, 0.8 + 0.22 * len(table.contaminated)),
        )  # fmt: skip
    return drawings


def draw_areas(figure: Figure, table: Table) -> None:
    """Mean AUROC with its interval, best first, and each seed as a small ring below."""
    axes = figure.subplots()
    rows = table.rows
    reference = next((row for row in rows if row.reference), None)
    if reference is not None:
        axes.axvline(reference.auroc.mean, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.6)
    axes.axvline(0.5, color=FAINT, linewidth=0.8, linestyle=(0, (2, 3)))
    for y, row in _from_above(rows):
        _interval(axes, y, row.auroc.mean, row.auroc_interval, row)
        if len(row.seeds) > 1:
            axes.plot(
                row.auroc.values, [y - 0.28] * len(row.seeds), "o", color="none", ms=3.2,
                mec=_colour(row), mew=0.8,
            )  # fmt: skip
        _beside(axes, y, f"{row.auroc.mean:.3f}")
    _names(axes, rows)
    axes.set_xlabel("AUROC, 95 % interval")


def draw_ranks(figure: Figure, table: Table) -> None:
    """Mean rank over resamples with its range, best first."""
    axes = figure.subplots()
    rows = sorted(table.rows, key=lambda row: row.rank)
    for y, row in _from_above(rows):
        _interval(axes, y, row.rank, row.rank_range, row)
        _beside(axes, y, f"{row.rank:.1f}")
    _names(axes, rows)
    axes.set_xlim(0.5, len(rows) + 0.5)
    axes.set_xlabel("rank by AUROC (1 = best), 95 % range over resamples")


def _from_above(rows: tuple[MethodRow, ...] | list[MethodRow]) -> list[tuple[int, MethodRow]]:
    return list(zip(range(len(rows), 0, -1), rows, strict=True))


def _interval(axes: Axes, y: float, mean: float, pair: tuple[float, float], row: MethodRow) -> None:
    colour = _colour(row)
    axes.plot(pair, [y, y], color=colour, linewidth=2.2, alpha=0.55, solid_capstyle="round")
    shape = "D" if row.reference else "o"
    axes.plot(mean, y, shape, color=colour, markersize=7, markeredgecolor="white", zorder=4)


def _beside(axes: Axes, y: float, text: str) -> None:
    axes.annotate(text, (1.015, y), xycoords=("axes fraction", "data"), va="center", fontsize=8.5)


def _names(axes: Axes, rows: tuple[MethodRow, ...] | list[MethodRow]) -> None:
    axes.set_yticks(range(len(rows), 0, -1), [_short(row) for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        if row.trivial:
            label.set_color(BASELINE)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(0.3, len(rows) + 0.7)
    axes.grid(axis="x", color=FAINT, alpha=0.22, linewidth=0.6)


def _colour(row: MethodRow) -> str:
    return INK if row.reference else BASELINE if row.trivial else METHOD


def _short(row: MethodRow) -> str:
    return f"{row.name} (reference)" if row.reference else row.name


def draw_cost(figure: Figure, table: Table) -> None:
    """AUROC against training and scoring time; numbers stand for methods, by place."""
    training, scoring, beside = figure.subplots(1, 3, width_ratios=(1, 1, 0.62))
    for axes, values, label in (
        (training, [row.train_seconds.mean for row in table.rows], "training (s)"),
        (scoring, [1e3 * row.score_seconds.mean for row in table.rows], "scoring (ms per image)"),
    ):
        _against_cost(axes, table, np.array(values))
        axes.set_xlabel(label)
    training.set_ylabel("AUROC")
    beside.set_axis_off()
    for place, row in enumerate(table.rows):
        y = 1 - (place + 0.5) / len(table.rows)
        beside.annotate(str(place + 1), (0.1, y), ha="right", va="center", fontsize=8.5, color=_colour(row))
        beside.annotate(_short(row), (0.15, y), va="center", fontsize=8.5)


def _against_cost(axes: Axes, table: Table, values: NDArray[np.float64]) -> None:
    values = np.maximum(values, 1e-3)
    areas = np.array([row.auroc.mean for row in table.rows])
    for row, x, y in zip(table.rows, values, areas, strict=True):
        shape = "D" if row.reference else "s" if row.trivial else "o"
        axes.plot(x, y, shape, color=_colour(row), ms=5.5, mec="white", mew=0.6)
    axes.set_xscale("log")
    room = 0.06 * max(float(np.ptp(areas)), 0.05)
    axes.set_ylim(areas.min() - room, areas.max() + room)
    decades = np.log10(values)
    width = max(float(np.ptp(decades)), 0.5)
    axes.set_xlim(10 ** (decades.min() - 0.08 * width), 10 ** (decades.max() + 0.08 * width))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    )
    axes.grid(color=FAINT, alpha=0.22, linewidth=0.6)
    low, high = axes.get_ylim()
    points = np.stack([(decades - decades.min()) / width * 3.4, (areas - low) / (high - low) * 3.4], axis=1)
    for place, (x, y, offset) in enumerate(zip(values, areas, free_places(points), strict=True), 1):
        axes.annotate(
            str(place), (x, y), tuple(72 * offset), textcoords="offset points",
            ha="center", va="center", fontsize=8,
        )  # fmt: skip


def draw_roc(figure: Figure, table: Table) -> None:
    """Mean sensitivity over seeds at each false-alarm rate, of the best, the reference and the best trivial
    baseline."""
    axes, beside = figure.subplots(1, 2, width_ratios=(1, 1))
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (2, 3)))
    lines, names = [], []
    styles = iter(STYLES)
    for row in shown_curves(table):
        x, y = mean_roc(table, row)
        colour, dashes = (INK, "-") if row.reference else (BASELINE, "--") if row.trivial else next(styles)
        width = 2.2 if row.reference else 1.5
        lines += axes.plot(
            x, y, color=colour, linewidth=width, linestyle=dashes, drawstyle="steps-post",
            zorder=4 if row.reference else 3,
        )  # fmt: skip
        names.append(f"{_said(row)}: {row.auroc.mean:.3f}")
    axes.set_xlabel("false-alarm rate (1 − specificity)")
    axes.set_ylabel("sensitivity")
    unit_square(axes)
    _legend(beside, lines, names, "AUROC")


def shown_curves(table: Table) -> list[MethodRow]:
    """The best methods that are no trivial baseline, the reference, and the best trivial one; best first."""
    best = [row for row in table.rows if not row.trivial and not row.reference][:CURVES]
    trivial = [row for row in table.rows if row.trivial and not row.reference][:1]
    chosen = {row.name for row in (*best, *trivial)}
    return [row for row in table.rows if row.reference or row.name in chosen]


def mean_roc(table: Table, row: MethodRow) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False-alarm rates and the seeds' mean of the highest sensitivity at each."""
    abnormal = table.results.images.abnormal
    normals = int((~abnormal).sum())
    counts = np.unique(np.linspace(0, normals, min(normals, POINTS) + 1).round())
    rates = counts / normals
    found = []
    for run in table.results.of(row.name):
        curve = roc_curve(abnormal, run.scores)
        found.append(np.interp(rates, curve.false_positive_rate, curve.sensitivity))
    return np.append(0.0, rates), np.append(0.0, np.mean(found, axis=0))


def _said(row: MethodRow) -> str:
    return f"{row.name} (trivial)" if row.trivial and not row.reference else _short(row)


def _legend(axes: Axes, lines: list[Line2D], names: list[str], title: str) -> None:
    """A legend that takes names as they are: matplotlib would drop one with a leading underscore."""
    axes.set_axis_off()
    legend = axes.legend(
        lines, [str(place) for place in range(len(names))], title=title, loc="upper left",
        alignment="left", handlelength=2.8, labelspacing=0.7, fontsize=9,
    )  # fmt: skip
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)


def draw_agreement(figure: Figure, table: Table) -> None:
    """Rank correlation of every two methods, alike methods beside each other."""
    axes = figure.subplots()
    order = alike(table.agreement)
    values = table.agreement[np.ix_(order, order)]
    count = len(order)
    mesh = axes.pcolormesh(
        np.arange(count + 1) - 0.5, np.arange(count + 1) - 0.5, values, cmap="RdBu_r", vmin=-1, vmax=1,
        edgecolors="white", linewidth=0.6,
    )  # fmt: skip
    for i in range(count):
        for j in range(count):
            written = "–" if np.isnan(values[i, j]) else f"{values[i, j]:.2f}".replace("-", "−")
            colour = "white" if abs(values[i, j]) > 0.65 else "black"
            axes.text(j, i, written, ha="center", va="center", fontsize=7.5, color=colour)
    names = [table.rows[index].name for index in order]
    axes.set_xticks(range(count), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylim(count - 0.5, -0.5)
    scale = figure.colorbar(mesh, ax=axes, label="Spearman’s ρ of the scores", fraction=0.03, pad=0.01)
    scale.outline.set_visible(False)


def alike(agreement: NDArray[np.float64]) -> list[int]:
    """The order of the leaves of average linkage on `1 - rho` (an unknown rho counts as 0)."""
    distance = 1 - np.nan_to_num(agreement, nan=0.0)
    np.fill_diagonal(distance, 0)
    condensed = squareform(np.maximum(distance, 0), checks=False)
    return [int(leaf) for leaf in leaves_list(linkage(condensed, "average", optimal_ordering=True))]


def draw_contamination(figure: Figure, table: Table) -> None:
    """Mean AUROC by share of abnormal images among the normals; bars are one standard deviation."""
    axes, beside = figure.subplots(1, 2, width_ratios=(1.4, 1))
    lines, names = [], []
    place = {row.name: row for row in table.rows}
    found = sorted(table.contaminated, key=lambda one: -one.auroc[0].mean)
    for number, one in enumerate(found):
        colour, dashes = STYLES[number % len(STYLES)]
        shares = [100 * share for share in one.shares]
        deviations = [area.deviation or 0.0 for area in one.auroc]
        drawn = axes.errorbar(
            shares, [area.mean for area in one.auroc], yerr=deviations if any(deviations) else None,
            color=colour, linestyle=dashes, marker=MARKS[number % len(MARKS)], markersize=5,
            linewidth=1.5, elinewidth=0.9, capsize=2,
        )  # fmt: skip
        lines.append(drawn.lines[0])
        names.append(f"{_said(place[one.name])}: {one.auroc[0].mean:.3f} to {one.auroc[-1].mean:.3f}")
    axes.set_xticks(sorted({100 * share for one in found for share in one.shares}))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("abnormal images among the training normals (%)")
    axes.set_ylabel("AUROC")
    axes.grid(axis="y", color=FAINT, alpha=0.22, linewidth=0.6)
    _legend(beside, lines, names, "AUROC without and with most contamination")
