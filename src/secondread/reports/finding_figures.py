"""The ROC of each finding against all normals, with Youden's point as the oracle that it is."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from secondread.drawing.palette import FAINT, FINDINGS, INK
from secondread.drawing.panels import unit_square
from secondread.evaluation.evaluation import Evaluation
from secondread.evaluation.groups import Group
from secondread.wording.numbers import number, span

LONGEST_NAME = 30


def draw_findings(figure: Figure, evaluation: Evaluation) -> None:
    """One curve for each of the commonest findings, as many as there are colours."""
    axes, beside = figure.subplots(1, 2, width_ratios=(1.1, 1))
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (2, 3)))
    lines, names = [], []
    for (colour, dashes), group in zip(FINDINGS, evaluation.findings, strict=False):
        if group.roc is None or group.youden is None:
            continue
        rates = group.roc.false_positive_rate
        lines += axes.plot(rates, group.roc.sensitivity, color=colour, linewidth=1.6, linestyle=dashes)
        names.append(_in_words(group))
        axes.plot(
            1 - group.youden.specificity, group.youden.sensitivity, "D", color="none", ms=6.5, mec=colour,
            mew=1.4, zorder=4,
        )  # fmt: skip
    axes.set_xlabel("false-alarm rate (1 − specificity)")
    axes.set_ylabel("sensitivity")
    unit_square(axes)
    lines.append(Line2D([], [], linestyle="none", marker="D", color="none", markeredgecolor=INK, ms=6.5))
    names.append("Youden’s point (oracle: chosen with labels)")
    _legend(beside, lines, names, f"Against all {evaluation.images.normal:,} normal images")


def _in_words(group: Group) -> str:
    name = group.name if len(group.name) <= LONGEST_NAME else group.name[: LONGEST_NAME - 1] + "…"
    interval = f" ({span(group.auroc.interval)})" if group.auroc.interval else ""
    return f"{name}: AUROC {number(group.auroc.value)}{interval}, n = {group.abnormal:,}"


def _legend(axes: Axes, lines: list[Line2D], names: list[str], title: str) -> None:
    """A legend that takes names as they are: matplotlib would read `$` as mathematics and drop a leading
    underscore."""
    axes.set_axis_off()
    legend = axes.legend(
        lines, [str(place) for place in range(len(names))], title=title, loc="upper left",
        alignment="left", handlelength=2.8, labelspacing=0.75, fontsize=9.5,
    )  # fmt: skip
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)
        text.set_text(name)
