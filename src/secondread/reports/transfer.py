"""The page of a transfer: one bundle at home and away, what has shifted, and what a new calibration mends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from secondread.drawing.palette import ABNORMAL, FAINT, METHOD, ORACLE
from secondread.drawing.panels import unit_square
from secondread.drawing.style import HEIGHT, STYLE, WIDTH
from secondread.outputs.private import make_folder
from secondread.reports.figures import save
from secondread.reports.templates import write_report_page
from secondread.transferring.shift import Shift
from secondread.wording.commands import shown_command

COLOURS = (METHOD, ABNORMAL, ORACLE)


def write_transfer(shift: Shift, out: str | Path, *, command: Sequence[str] = ()) -> Path:
    """Write `report.html` and `figures/` into the folder `out`; return the page's path."""
    folder = Path(out)
    make_folder(folder / "figures")
    figures = {}
    for name, draw in (("roc", draw_roc), ("p_values", draw_p_values)):
        with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
            figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
            draw(figure, shift)
            figures[name] = save(figure, folder / "figures" / name)
    return write_report_page(
        folder,
        "transfer.html",
        shift=shift,
        figures=figures,
        name=shift.home.readings.run.model.name or "An unnamed model",
        command=shown_command(command),
    )


def draw_roc(figure: Figure, shift: Shift) -> None:
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (2, 3)))
    for (name, evaluation, _), colour in zip(shift.stages[:2], COLOURS, strict=False):
        if evaluation.images.curves is not None:
            curve = evaluation.images.curves.roc
            axes.plot(curve.false_positive_rate, curve.sensitivity, color=colour, linewidth=1.7, label=name)
    axes.set_xlabel("false-alarm rate (1 − specificity)")
    axes.set_ylabel("sensitivity")
    unit_square(axes)
    axes.legend(loc="lower right")


def draw_p_values(figure: Figure, shift: Shift) -> None:
    """The share of test normals with a p-value at or below each rate, which is that rate where they are
    exchangeable with calibration normals."""
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (2, 3)))
    for (name, evaluation, _), colour in zip(shift.stages, COLOURS, strict=True):
        units = evaluation.images.units
        values = np.sort(units.p_values[~units.abnormal])
        if values.size and not np.isnan(values).any():
            share = np.arange(values.size + 1) / values.size
            axes.step(
                np.append(values, 1.0), np.append(share[1:], 1.0), where="post", color=colour, label=name
            )
    axes.set_xlabel("false-alarm rate that is promised")
    axes.set_ylabel("share of test normals flagged at it")
    unit_square(axes)
    axes.legend(loc="lower right")
