"""Figures of the raw parts: by label, and against the share of background."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from secondread.drawing.palette import INK
from secondread.drawing.panels import (
    MOST_MARKS,
    label_legend,
    labelled_histogram,
    labelled_scatter,
    range_of_normals,
    small_panels,
)
from secondread.evaluation.evaluation import Evaluation
from secondread.evaluation.parts import PartEvaluation
from secondread.wording.numbers import number


def draw_parts(figure: Figure, evaluation: Evaluation) -> None:
    """A histogram of each part, with its AUROC."""
    abnormal = evaluation.images.units.abnormal
    panels = small_panels(figure, len(evaluation.parts))
    for axes, part in zip(panels, evaluation.parts, strict=True):
        low, high = labelled_histogram(axes, part.values, abnormal)
        if part.median is not None and low <= part.median <= high:
            axes.axvline(part.median, color=INK, linewidth=1.0, linestyle=(0, (4, 2)))
        axes.set_title(f"{part.name}: AUROC {number(part.auroc.value)}", fontsize=9.5)
        axes.set_xlabel(_direction(part))
        axes.set_ylabel("images")
    label_legend(figure, panels[0])


def _direction(part: PartEvaluation) -> str:
    direction = "higher = more abnormal" if part.median is None else "far from the line = more abnormal"
    return direction if part.weight else f"{direction}; not in the score"


def draw_background(figure: Figure, evaluation: Evaluation) -> None:
    """The score and every other part against the share of background pixels."""
    background, units = evaluation.background, evaluation.images.units
    assert background is not None
    values = {part.name: part.values for part in evaluation.parts}
    shown = [
        ("score", units.scores, background.score),
        *((name, values[name], follows) for name, follows in background.parts.items()),
    ]
    panels = small_panels(figure, len(shown))
    for axes, (name, heights, follows) in zip(panels, shown, strict=True):
        labelled_scatter(
            axes,
            background.values,
            np.clip(heights, *range_of_normals(heights, units.abnormal)),
            units.abnormal,
            as_picture=len(units) * len(shown) > MOST_MARKS,
        )
        axes.set_title(
            f"{name}: ρ = {number(follows.value, 2).replace('-', '−')} among normals", fontsize=9.5
        )
        axes.set_xlabel("share of background pixels")
        axes.set_ylabel(name)
    label_legend(figure, panels[0])
