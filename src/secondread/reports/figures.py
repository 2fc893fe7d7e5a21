"""The report's figures: drawn once, kept as PNG and SVG files, and put into the page as inline SVG.

In the page, ink and grid take the page's own colours, so that they stay readable on light and dark.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secondread.drawing.palette import PAGE_COLOURS
from secondread.drawing.panels import panels_size
from secondread.drawing.style import HEIGHT, STYLE, WIDE, WIDTH
from secondread.drawing.training_curves import curves_size, draw_curves, with_curves
from secondread.evaluation.evaluation import Evaluation
from secondread.outputs.private import make_folder
from secondread.reports.finding_figures import draw_findings
from secondread.reports.part_figures import draw_background, draw_parts
from secondread.reports.score_figures import (
    draw_baselines,
    draw_complexity,
    draw_histogram,
    draw_precision_recall,
    draw_roc,
    draw_studies,
    draw_studies_roc,
)


@dataclass(frozen=True)
class Drawing:
    """How a figure is drawn, and its size in inches."""

    draw: Callable[[Figure, Evaluation], None]
    width: float = WIDTH
    height: float = HEIGHT


@dataclass(frozen=True)
class Inline:
    """Inline SVG for the page; `wide` takes both of its columns."""

    svg: str
    wide: bool


def draw_figures(evaluation: Evaluation, folder: Path) -> dict[str, Inline]:
    """Draw what the evaluation has figures for; write each as PNG and SVG; return inline SVG by name."""
    make_folder(folder)
    return {
        name: draw_figure(name, drawing, evaluation, folder) for name, drawing in drawings(evaluation).items()
    }


def draw_figure(name: str, drawing: Drawing, evaluation: Evaluation, folder: Path) -> Inline:
    """Draw one of them, write it as PNG and SVG, and return inline SVG."""
    with _figure(name, drawing) as figure:
        drawing.draw(figure, evaluation)
        return Inline(save(figure, folder / name), wide=drawing.width > WIDTH)


def drawings(evaluation: Evaluation) -> dict[str, Drawing]:
    """The figures by name."""
    found: dict[str, Drawing] = {}
    if len(evaluation.images.units):
        found["histogram"] = one(draw_histogram)
    if evaluation.images.curves is not None:
        found |= {
            "roc": one(draw_roc),
            "precision_recall": one(draw_precision_recall),
            "baselines": one(draw_baselines),
        }
        if evaluation.findings:
            found["findings"] = Drawing(draw_findings, WIDE, 4.2)
    if evaluation.studies is not None:
        found["studies"] = one(draw_studies)
        if evaluation.studies.curves is not None:
            found["studies_roc"] = one(draw_studies_roc)
    if evaluation.complexity is not None and not np.isnan(evaluation.complexity.values).any():
        found["complexity"] = one(draw_complexity)
    if evaluation.parts:
        found["parts"] = small_multiples(draw_parts, len(evaluation.parts))
    if evaluation.background is not None:
        found["background"] = small_multiples(draw_background, 1 + len(evaluation.background.parts))
    if stages := with_curves(evaluation.readings.run.provenance.training.stages):
        width, height = curves_size(stages)
        found["training"] = Drawing(lambda figure, _: draw_curves(figure, stages), width, height)
    return found


def one(draw: Callable[[Axes, Evaluation], None]) -> Drawing:
    """A figure of one pair of axes."""
    return Drawing(lambda figure, evaluation: draw(figure.subplots(), evaluation))


def small_multiples(draw: Callable[[Figure, Evaluation], None], panels: int) -> Drawing:
    """A figure of several panels: as high as its rows."""
    return Drawing(draw, *panels_size(panels))


@contextmanager
def _figure(name: str, drawing: Drawing) -> Iterator[Figure]:
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        yield Figure(figsize=(drawing.width, drawing.height), layout="constrained")


def save(figure: Figure, stem: Path) -> str:
    """Write `stem`.png and `stem`.svg on white, and return the SVG for the page.

    The figure is laid out once for both, and afterwards has nothing that lays it out: where it has, and be
    it one that does nothing, matplotlib draws twice for each file.
    """
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine(None)
    figure.savefig(stem.with_suffix(".png"), dpi=200, facecolor="white", pil_kwargs={"compress_level": 3})
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
