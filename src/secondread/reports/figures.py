"""The report's figures: drawn once, kept as PNG and SVG files, and put into the page as inline SVG.

In the page, ink and grid take the page's own colours, so that they stay readable on light and dark.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secondread.evaluation.comparisons import BASELINES
from secondread.evaluation.evaluate import Evaluation
from secondread.evaluation.levels import Level
from secondread.metrics.bootstrap import Band
from secondread.reports.palette import (
    ABNORMAL,
    BASELINE,
    FAINT,
    INK,
    METHOD,
    NORMAL,
    ORACLE,
    PAGE_COLOURS,
)

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.fonttype": "none",
}
WIDTH, HEIGHT = 5.0, 3.7


def draw_figures(evaluation: Evaluation, folder: Path) -> dict[str, str]:
    """Draw what the evaluation has figures for; write each as PNG and SVG; return inline SVG by name."""
    drawings: dict[str, Callable[[Axes, Evaluation], None]] = {}
    if len(evaluation.images.units):
        drawings["histogram"] = draw_histogram
    if evaluation.images.curves is not None:
        drawings |= {"roc": draw_roc, "precision_recall": draw_precision_recall, "baselines": draw_baselines}
    if evaluation.studies is not None:
        drawings["studies"] = draw_studies
        if evaluation.studies.curves is not None:
            drawings["studies_roc"] = draw_studies_roc
    if evaluation.complexity is not None and not np.isnan(evaluation.complexity.values).any():
        drawings["complexity"] = draw_complexity
    folder.mkdir(parents=True, exist_ok=True)
    pages = {}
    for name, draw in drawings.items():
        with _figure(name) as figure:
            draw(figure.subplots(), evaluation)
            pages[name] = save(figure, folder / name)
    return pages


@contextmanager
def _figure(name: str) -> Iterator[Figure]:
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        yield figure


def save(figure: Figure, stem: Path) -> str:
    """Write `stem`.png and `stem`.svg on white, and return the SVG for the page."""
    figure.savefig(stem.with_suffix(".png"), dpi=200, facecolor="white")
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = drawn.getvalue()
    background = '<rect width="100%" height="100%" fill="white"/>'
    stem.with_suffix(".svg").write_text(
        re.sub(r"(<svg[^>]*>)", rf"\1{background}", text, count=1), encoding="utf-8"
    )
    return for_page(text, stem.name)


def for_page(svg: str, name: str) -> str:
    """The SVG element alone, scalable, with the page's colours and font and ids of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg([^>]*?) height="[^"]*"', r"<svg\1", svg, count=1)
    svg = re.sub(r'<svg([^>]*?) width="[^"]*"', r"<svg\1", svg, count=1)
    svg = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{name}-", svg)
    svg = re.sub(r"font: ([0-9.]+)px [^;\"]*", r"font: \1px var(--sans)", svg)
    for drawn, page in PAGE_COLOURS.items():
        svg = svg.replace(drawn, page)
    return svg


def draw_histogram(axes: Axes, evaluation: Evaluation) -> None:
    _histogram(axes, evaluation.images, "images")


def draw_studies(axes: Axes, evaluation: Evaluation) -> None:
    assert evaluation.studies is not None
    _histogram(axes, evaluation.studies, "studies")


def _histogram(axes: Axes, level: Level, what: str) -> None:
    scores, abnormal = level.units.scores, level.units.abnormal
    low, high = _visible_range(scores)
    bins = np.linspace(low, high, int(np.clip(np.sqrt(len(scores)) * 1.6, 10, 48)) + 1).tolist()
    inside = np.clip(scores, low, high)
    for mask, colour, name in ((~abnormal, NORMAL, "normal"), (abnormal, ABNORMAL, "abnormal")):
        if mask.any():
            axes.hist(inside[mask], bins=bins, color=colour, alpha=0.55, label=f"{name} ({mask.sum()})")
            axes.hist(inside[mask], bins=bins, color=colour, histtype="step", linewidth=1.1)
    threshold = level.promise.threshold
    if threshold is not None and low <= threshold <= high:
        axes.axvline(threshold, color=INK, linewidth=1.1, linestyle=(0, (4, 2)), label="calibrated threshold")
    axes.set_xlabel("score (higher = more abnormal)")
    axes.set_ylabel(what)
    axes.legend(loc="best")


def _visible_range(scores: np.ndarray) -> tuple[float, float]:
    """All scores, unless a few lie so far out that they squeeze the rest; those fall in the end bins."""
    low, high = float(scores.min()), float(scores.max())
    quarter, three_quarters = np.quantile(scores, [0.05, 0.95])
    reach = 1.5 * float(three_quarters - quarter)
    if reach > 0:
        low, high = max(low, float(quarter) - reach), min(high, float(three_quarters) + reach)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def draw_roc(axes: Axes, evaluation: Evaluation) -> None:
    _roc(axes, evaluation.images)


def draw_studies_roc(axes: Axes, evaluation: Evaluation) -> None:
    assert evaluation.studies is not None
    _roc(axes, evaluation.studies)


def _roc(axes: Axes, level: Level) -> None:
    curves = level.curves
    assert curves is not None
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (2, 3)))
    if curves.roc_band is not None:
        _band(axes, curves.roc_band)
    axes.plot(curves.roc.false_positive_rate, curves.roc.sensitivity, color=METHOD, linewidth=1.7)
    for point in level.points:
        x, y = point.false_alarm_rate.value, point.sensitivity.value
        if x is not None and y is not None:
            _mark(axes, x, y, point.kind, point.name)
    axes.set_xlabel("false-alarm rate (1 − specificity)")
    axes.set_ylabel("sensitivity")
    _unit_square(axes)
    axes.legend(loc="lower right")


def draw_precision_recall(axes: Axes, evaluation: Evaluation) -> None:
    level = evaluation.images
    curves = level.curves
    assert curves is not None
    prevalence = float(level.units.abnormal.mean())
    axes.axhline(prevalence, color=FAINT, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.text(0.01, prevalence, "flag everything", color=FAINT, fontsize=8, va="bottom")
    if curves.precision_recall_band is not None:
        _band(axes, curves.precision_recall_band)
    found = curves.precision_recall
    axes.step(found.recall, found.precision, color=METHOD, linewidth=1.7, where="pre")
    for point in level.points:
        x, y = point.sensitivity.value, point.precision.value
        if x is not None and y is not None:
            _mark(axes, x, y, point.kind, point.name)
    axes.set_xlabel("recall (sensitivity)")
    axes.set_ylabel("precision")
    _unit_square(axes)
    axes.legend(loc="lower left")


def _band(axes: Axes, band: Band) -> None:
    axes.fill_between(band.x, band.low, band.high, color=METHOD, alpha=0.16, linewidth=0, label="95 % band")


def _mark(axes: Axes, x: float, y: float, kind: str, name: str) -> None:
    if kind == "calibrated":
        axes.plot(x, y, "o", color=METHOD, ms=8, mec="white", zorder=5, label="calibrated threshold")
    elif kind == "oracle":
        shape = "D" if name == "Youden" else "s"
        axes.plot(x, y, shape, color="none", ms=6.5, mec=ORACLE, zorder=4, label=f"{name} (oracle)")


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    axes.grid(color=FAINT, alpha=0.22, linewidth=0.6)


def draw_baselines(axes: Axes, evaluation: Evaluation) -> None:
    """AUROC of the model, of the trivial baselines and of what never saw the picture, with intervals."""
    shortcut = evaluation.shortcut
    lines = [("This model", evaluation.images.auroc, METHOD, "o")]
    if evaluation.complexity is not None:
        lines.append(("… without complexity", evaluation.complexity.auroc_without, METHOD, "o"))
    lines += [(BASELINES[name], found.auroc, BASELINE, "o") for name, found in evaluation.baselines.items()]
    lines += [
        ("Acquisition alone *", shortcut.label, ABNORMAL, "s"),
        ("16×16 thumbnail *", shortcut.thumbnail, ORACLE, "D"),
    ]
    shown = [line for line in lines if line[1].value is not None]
    for place, (_, estimate, colour, shape) in enumerate(shown):
        y = len(shown) - place
        if estimate.interval is not None:
            axes.plot(
                estimate.interval, [y, y], color=colour, linewidth=2.2, alpha=0.55, solid_capstyle="round"
            )
        axes.plot(estimate.value or 0.0, y, shape, color=colour, markersize=7, markeredgecolor="white")
        axes.annotate(
            f"{estimate.value:.3f}", (estimate.value or 0, y), (0, 7), textcoords="offset points",
            ha="center", fontsize=8,
        )  # fmt: skip
    axes.axvline(0.5, color=FAINT, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.set_yticks([len(shown) - place for place in range(len(shown))], [line[0] for line in shown])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    lowest = min([0.45, *(e.interval[0] if e.interval else e.value or 0 for _, e, _, _ in shown)])
    axes.set_xlim(max(-0.02, lowest - 0.05), 1.02)
    axes.set_ylim(0.4, len(shown) + 0.75)
    axes.set_xlabel("AUROC, 95 % interval over patients     * supervised")


def draw_complexity(axes: Axes, evaluation: Evaluation) -> None:
    found = evaluation.complexity
    assert found is not None
    abnormal = evaluation.images.units.abnormal
    for mask, colour, name in ((~abnormal, NORMAL, "normal"), (abnormal, ABNORMAL, "abnormal")):
        axes.plot(
            found.values[mask], evaluation.images.units.scores[mask], "o", color=colour, alpha=0.45,
            markersize=3.2, markeredgewidth=0, label=name, rasterized=bool(len(abnormal) > 2000),
        )  # fmt: skip
    axes.set_xlabel("complexity (bits per dimension)")
    axes.set_ylabel("score")
    axes.legend(loc="best")
