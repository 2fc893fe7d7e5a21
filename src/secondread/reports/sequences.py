"""Scores over time: for each sequence of frames its curve and its most abnormal frame, in evaluation's report
and as a page of its own beside readings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secondread.drawing.palette import ABNORMAL, FAINT, HEAT, INK, METHOD, NORMAL
from secondread.drawing.style import STYLE
from secondread.evaluation.promise import image_promise, map_scale, study_promise
from secondread.images.workers.cores import available_cores
from secondread.outputs.private import make_folder
from secondread.outputs.whole import write_whole
from secondread.readings.reading import Reading
from secondread.readings.readings import Readings
from secondread.readings.sequences import FrameSequence, sequences_of
from secondread.reports.figures import save
from secondread.reports.pictures import Drawn, Wanted, draw_pictures
from secondread.reports.templates import environment, page

SHOWN = 12
"""Sequences with a curve; all stand in the table."""
LISTED = 200
PAGE = "sequences.html"
_WIDTH, _HEIGHT = 7.6, 1.9


@dataclass(frozen=True)
class Panel:
    """One sequence as the page shows it.

    study   the reading of its whole study, where the study's most abnormal image is one of these frames
    label   what the manifest says of its frames: `normal`, `abnormal`, `both` or nothing
    """

    sequence: FrameSequence
    svg: Markup
    drawn: Drawn
    study: Reading | None
    label: str


def sequences_section(
    readings: Readings,
    rows: Iterable[Reading],
    figures: Path,
    *,
    workers: int,
    labels: Mapping[str, bool] | None = None,
) -> Markup:
    """The part of a page on sequences among `rows`, empty where there is none.

    figures  the folder into which the curves are written too, as PNG and SVG
    labels   whether a frame is abnormal, by the reading's path
    """
    found = sequences_of(rows)
    if not found:
        return Markup("")
    scale = map_scale(readings)
    drawn = draw_pictures(
        [
            Wanted(readings.reference(worst), None if worst.map is None else str(worst.map), scale)
            for sequence in found[:SHOWN]
            if (worst := sequence.worst) is not None
        ],
        workers=workers,
    )
    make_folder(figures)
    threshold, labels = image_promise(readings).threshold, labels or {}
    reach = _reach(found[:SHOWN], threshold)
    panels = [
        Panel(
            sequence,
            Markup(_curve(sequence, threshold, labels, reach, figures / f"sequence-{number:02d}")),
            picture,
            None if sequence.worst is None else readings.studies.get(sequence.worst.path),
            _label(sequence, labels),
        )
        for number, (sequence, picture) in enumerate(zip(found, drawn, strict=False), start=1)
    ]
    template = environment().get_template("sequences.html")
    return Markup(
        template.render(
            panels=panels,
            sequences=found[:LISTED],
            studies=readings.studies,
            count_all=len(found),
            judged=study_promise(readings).threshold is not None,
            threshold=threshold,
            labelled=bool(labels),
            heat=", ".join(f"rgb{colour}" for colour in HEAT),
            any_heat=any(panel.drawn.heat for panel in panels),
        )
    )


def write_sequences(readings: Readings, *, workers: int | None = None) -> Path | None:
    """Write `sequences.html`, with its curves in `figures/`, beside the readings; return the page's path, or
    None where no two readings are frames of one sequence."""
    folder = readings.directory
    cores = min(available_cores(), 8) if workers is None else workers
    section = sequences_section(readings, readings.rows, folder / "figures", workers=cores)
    if not section:
        return None
    text = page(
        "scores.html",
        name=readings.run.model.name or "Unnamed model",
        images=len(readings.rows),
        section=section,
    )
    write_whole(folder / PAGE, text.encode())
    return folder / PAGE


def _reach(sequences: Sequence[FrameSequence], threshold: float | None) -> tuple[float, float]:
    """One range of scores for all curves, so that they can be compared."""
    scores = [frame.score for sequence in sequences for frame in sequence.frames if frame.score is not None]
    values = [*scores, *(() if threshold is None else (threshold,))] or [0.0]
    low, high = min(values), max(values)
    spare = 0.06 * (high - low) or 0.5
    return low - spare, high + spare


def _curve(
    sequence: FrameSequence,
    threshold: float | None,
    labels: Mapping[str, bool],
    reach: tuple[float, float],
    stem: Path,
) -> str:
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": stem.name}):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        axes = figure.subplots()
        axes.set_ylim(*reach)
        draw_sequence(axes, sequence, threshold, labels)
        return save(figure, stem)


def draw_sequence(
    axes: Axes, sequence: FrameSequence, threshold: float | None, labels: Mapping[str, bool]
) -> None:
    """The score of each frame over time: a large mark where it is flagged, a cross on the ground where it
    could not be read, and in the label's colour where there is one."""
    x = np.array(sequence.places)
    y = np.array([np.nan if frame.score is None else frame.score for frame in sequence.frames])
    flagged = np.array([bool(frame.flagged) for frame in sequence.frames])
    axes.plot(x, y, color=METHOD, linewidth=1.1, alpha=0.75)
    told = [labels.get(frame.path) for frame in sequence.frames]
    for label, colour in ((None, METHOD), (False, NORMAL), (True, ABNORMAL)):
        of_label = np.array([each is label for each in told]) & np.isfinite(y)
        for marked, size, edge in ((of_label & ~flagged, 2.6, 0.0), (of_label & flagged, 6.5, 0.7)):
            axes.plot(x[marked], y[marked], "o", color=colour, ms=size, mec="white", mew=edge)
    if threshold is not None:
        axes.axhline(threshold, color=INK, linewidth=0.9, linestyle=(0, (4, 2)))
    worst = sequence.worst
    if worst is not None:
        at = sequence.frames.index(worst)
        axes.axvline(x[at], color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)))
    failed = ~np.isfinite(y)
    if failed.any():
        ground = np.full(int(failed.sum()), axes.get_ylim()[0])
        axes.plot(x[failed], ground, "x", color=INK, ms=5, clip_on=False)
    axes.margins(x=0.02)
    axes.set_xlabel("seconds" if sequence.timed else "frame")
    axes.set_ylabel("score")
    axes.grid(axis="y", color=FAINT, alpha=0.22, linewidth=0.6)


def _label(sequence: FrameSequence, labels: Mapping[str, bool]) -> str:
    told = {labels[frame.path] for frame in sequence.frames if frame.path in labels}
    if len(told) == 2:
        return "both"
    return {True: "abnormal", False: "normal"}[told.pop()] if told else ""
