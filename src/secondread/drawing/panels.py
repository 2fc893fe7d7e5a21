"""What several figures share: both labels in one histogram or scatter, the unit square, rows of panels."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from secondread.drawing.palette import ABNORMAL, FAINT, NORMAL
from secondread.drawing.style import HEIGHT, ROW, WIDE, WIDTH

COLUMNS = 3
MOST_MARKS = 2000
"""Marks in a figure beyond which they become one picture, so that the page stays small."""


def rows_of(panels: int) -> int:
    return -(-panels // COLUMNS)


def panels_size(panels: int) -> tuple[float, float]:
    """Width and height in inches of a figure of several panels: as high as its rows."""
    return (WIDTH, HEIGHT) if panels == 1 else (WIDE, 0.4 + ROW * rows_of(panels))


def small_panels(figure: Figure, panels: int) -> list[Axes]:
    """Axes in rows of three; cells left over stay empty."""
    grid = figure.subplots(rows_of(panels), min(panels, COLUMNS), squeeze=False).ravel()
    for empty in grid[panels:]:
        empty.set_axis_off()
    return list(grid[:panels])


def label_legend(figure: Figure, axes: Axes) -> None:
    """One legend for all panels, above them."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), markerscale=2)


def labelled_histogram(
    axes: Axes, values: NDArray[np.float64], abnormal: NDArray[np.bool_]
) -> tuple[float, float]:
    """Both labels over the same bins; returns the range shown."""
    low, high = visible_range(values)
    bins = np.linspace(low, high, int(np.clip(np.sqrt(len(values)) * 1.6, 10, 48)) + 1).tolist()
    inside = np.clip(values, low, high)
    for mask, colour, name in ((~abnormal, NORMAL, "normal"), (abnormal, ABNORMAL, "abnormal")):
        if mask.any():
            axes.hist(inside[mask], bins=bins, color=colour, alpha=0.55, label=f"{name} ({mask.sum()})")
            axes.hist(inside[mask], bins=bins, color=colour, histtype="step", linewidth=1.1)
    return low, high


def labelled_scatter(
    axes: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    abnormal: NDArray[np.bool_],
    *,
    as_picture: bool,
) -> None:
    """Both labels as points; `as_picture` where they are too many to be drawn one by one."""
    for mask, colour, name in ((~abnormal, NORMAL, "normal"), (abnormal, ABNORMAL, "abnormal")):
        if mask.any():
            axes.plot(
                x[mask], y[mask], "o", color=colour, alpha=0.45, markersize=3.2, markeredgewidth=0,
                label=name, rasterized=as_picture,
            )  # fmt: skip


def visible_range(values: NDArray[np.float64]) -> tuple[float, float]:
    """All values, unless a few lie so far out that they squeeze the rest; those fall in the end bins."""
    low, high = float(values.min()), float(values.max())
    quarter, three_quarters = np.quantile(values, [0.05, 0.95])
    reach = 1.5 * float(three_quarters - quarter)
    if reach > 0:
        low, high = max(low, float(quarter) - reach), min(high, float(three_quarters) + reach)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def range_of_normals(values: NDArray[np.float64], abnormal: NDArray[np.bool_]) -> tuple[float, float]:
    """A range in which the normals take at least a third, whatever abnormal images do."""
    low, high = visible_range(values[~abnormal] if not abnormal.all() else values)
    reach = high - low
    return max(float(values.min()), low - reach), min(float(values.max()), high + reach)


def unit_square(axes: Axes) -> None:
    """Axes of two rates."""
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    axes.grid(color=FAINT, alpha=0.22, linewidth=0.6)
