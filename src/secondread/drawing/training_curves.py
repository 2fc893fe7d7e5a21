"""Figures of the training: losses and label-free values by epoch, and which epoch stayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from secondread.drawing.palette import ABNORMAL, BASELINE, FAINT, INK, METHOD, NORMAL, ORACLE
from secondread.drawing.panels import panels_size, small_panels, visible_range
from secondread.drawing.style import ROW, WIDE

MEASURED = {
    "synthetic": ("synthetic anomalies", ABNORMAL),
    "unlabelled": ("unlabelled (AUCp)", METHOD),
    "corrected": ("unlabelled, corrected", ORACLE),
}
"""How each label-free value is called and drawn."""
TRAINED = (BASELINE, ORACLE, METHOD, FAINT)
"""Colours of the training losses, by step."""


class Epoch(Protocol):
    """See `training.log.EpochLog`."""

    @property
    def epoch(self) -> int: ...
    @property
    def losses(self) -> Mapping[str, float]: ...
    @property
    def validation(self) -> float | None: ...
    @property
    def measured(self) -> Mapping[str, float | None]: ...


class Stage(Protocol):
    """See `training.log.StageLog`."""

    @property
    def name(self) -> str: ...
    @property
    def epochs(self) -> Sequence[Epoch]: ...
    @property
    def chosen_epoch(self) -> int | None: ...


StageT = TypeVar("StageT", bound=Stage)


def with_curves(stages: Sequence[StageT]) -> list[StageT]:
    """The stages of a training log that have a curve: at least two epochs."""
    return [stage for stage in stages if len(stage.epochs) > 1]


def curves_size(stages: Sequence[Stage]) -> tuple[float, float]:
    """Width and height in inches of the figure."""
    return (WIDE, 0.4 + ROW * len(stages)) if _any_measured(stages) else panels_size(len(stages))


def draw_curves(figure: Figure, stages: Sequence[Stage]) -> None:
    """For each stage, in a row of its own, the losses and what was measured without labels; losses alone
    where nothing was."""
    if not _any_measured(stages):
        for axes, stage in zip(small_panels(figure, len(stages)), stages, strict=True):
            _losses(axes, stage)
        return
    grid = figure.subplots(len(stages), 2, squeeze=False)
    for (losses, values), stage in zip(grid, stages, strict=True):
        _losses(losses, stage)
        measured = _measured(stage)
        if measured:
            _values(values, stage, measured)
        else:
            values.set_axis_off()


def _any_measured(stages: Sequence[Stage]) -> bool:
    return any(_measured(stage) for stage in stages)


def _losses(axes: Axes, stage: Stage) -> None:
    """The sum of each step's loss terms, and the loss on held-out normals."""
    steps: dict[str, list[tuple[int, float]]] = {}
    for epoch in stage.epochs:
        sums: dict[str, float] = {}
        for term, value in epoch.losses.items():
            step = term.partition(".")[0] if "." in term else ""
            sums[step] = sums.get(step, 0.0) + value
        for step, value in sums.items():
            steps.setdefault(step, []).append((epoch.epoch + 1, value))
    lines = [
        (f"training loss: {step}" if step else "training loss", points, TRAINED[number % len(TRAINED)])
        for number, (step, points) in enumerate(steps.items())
    ]
    held_out = [(e.epoch + 1, e.validation) for e in stage.epochs if e.validation is not None]
    if held_out:
        lines.append(("held-out normals", held_out, NORMAL))
    for name, points, colour in lines:
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.5, label=name)
    if lines:
        low, high = visible_range(np.array([value for _, points, _ in lines for _, value in points]))
        axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.set_title(f"{stage.name}: loss", fontsize=9.5)
    axes.set_ylabel("loss")
    _epochs(axes, stage)


def _values(axes: Axes, stage: Stage, measured: Mapping[str, list[tuple[int, float]]]) -> None:
    """Each value by epoch; an open mark where it is highest, the first time."""
    for rule, points in measured.items():
        name, colour = MEASURED.get(rule, (rule, INK))
        axes.plot(
            *zip(*points, strict=True), color=colour, linewidth=1.5, marker=".", markersize=3.5, label=name
        )
        best = max(points, key=lambda point: point[1])
        axes.plot(*best, "o", color="none", markeredgecolor=colour, markersize=7)
    axes.axhline(0.5, color=FAINT, linewidth=0.8, linestyle=(0, (2, 3)))
    heights = [0.5, *(value for points in measured.values() for _, value in points)]
    axes.set_ylim(min(*heights, 0.45) - 0.02, max(*heights, 0.6) + 0.02)
    axes.set_title(f"{stage.name}: AUROC without labels", fontsize=9.5)
    axes.set_ylabel("AUROC")
    _epochs(axes, stage)


def _epochs(axes: Axes, stage: Stage) -> None:
    chosen = stage.chosen_epoch
    if chosen is not None:
        axes.axvline(
            chosen + 1, color=INK, linewidth=1.1, linestyle=(0, (4, 2)), label=f"kept: epoch {chosen + 1}"
        )
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("epoch")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)


def _measured(stage: Stage) -> dict[str, list[tuple[int, float]]]:
    """Epoch and value of each rule, where there is one."""
    found: dict[str, list[tuple[int, float]]] = {}
    for epoch in stage.epochs:
        for rule, value in epoch.measured.items():
            if value is not None:
                found.setdefault(rule, []).append((epoch.epoch + 1, value))
    return found
