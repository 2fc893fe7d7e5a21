"""Figures of the score: by label, ranked, beside simpler scores, against complexity."""

from __future__ import annotations

from matplotlib.axes import Axes

from secondread.drawing.palette import ABNORMAL, BASELINE, FAINT, INK, METHOD, ORACLE, SOFT
from secondread.drawing.panels import MOST_MARKS, labelled_histogram, labelled_scatter, unit_square
from secondread.evaluation.comparisons import BASELINES
from secondread.evaluation.evaluation import Evaluation
from secondread.evaluation.levels import Level
from secondread.metrics.bootstrap import Band


def draw_histogram(axes: Axes, evaluation: Evaluation) -> None:
    _histogram(axes, evaluation.images, "images")


def draw_studies(axes: Axes, evaluation: Evaluation) -> None:
    assert evaluation.studies is not None
    _histogram(axes, evaluation.studies, "studies")


def _histogram(axes: Axes, level: Level, what: str) -> None:
    low, high = labelled_histogram(axes, level.units.scores, level.units.abnormal)
    threshold = level.promise.threshold
    if threshold is not None and low <= threshold <= high:
        axes.axvline(threshold, color=INK, linewidth=1.1, linestyle=(0, (4, 2)), label="calibrated threshold")
    axes.set_xlabel("score (higher = more abnormal)")
    axes.set_ylabel(what)
    axes.legend(loc="best")


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
    unit_square(axes)
    axes.legend(loc="lower right")


def draw_precision_recall(axes: Axes, evaluation: Evaluation) -> None:
    level = evaluation.images
    curves = level.curves
    assert curves is not None
    prevalence = float(level.units.abnormal.mean())
    axes.axhline(prevalence, color=FAINT, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.text(0.01, prevalence, "flag everything", color=SOFT, fontsize=8, va="bottom")
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
    unit_square(axes)
    axes.legend(loc="lower left")


def _band(axes: Axes, band: Band) -> None:
    axes.fill_between(band.x, band.low, band.high, color=METHOD, alpha=0.16, linewidth=0, label="95 % band")


def _mark(axes: Axes, x: float, y: float, kind: str, name: str) -> None:
    if kind == "calibrated":
        axes.plot(x, y, "o", color=METHOD, ms=8, mec="white", zorder=5, label="calibrated threshold")
    elif kind == "oracle":
        shape = "D" if name == "Youden" else "s"
        axes.plot(x, y, shape, color="none", ms=6.5, mec=ORACLE, zorder=4, label=f"{name} (oracle)")


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
    units = evaluation.images.units
    labelled_scatter(axes, found.values, units.scores, units.abnormal, as_picture=len(units) > MOST_MARKS)
    axes.set_xlabel("complexity (bits per dimension)")
    axes.set_ylabel("score")
    axes.legend(loc="best")
