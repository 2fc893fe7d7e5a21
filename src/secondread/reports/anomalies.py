"""The page and the contact sheet of synthetic anomalies: each image before and after, and the target."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import yaml
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from secondread.drawing.palette import HEAT
from secondread.drawing.style import STYLE
from secondread.outputs.whole import write_whole
from secondread.previews.anomaly_preview import AnomalyPreview, Pictured
from secondread.reports.samples import uris
from secondread.reports.templates import write_report_page
from secondread.wording.commands import shown_command

BESIDE = 2
"""Images in a line of the contact sheet; volumes, with three planes each, have a line to themselves."""
PLANE = 1.15
"""Inches of one plane."""
COLUMNS = ("image", "with anomaly", "target")


@dataclass(frozen=True)
class Row:
    """One image of the page, its planes as data URIs."""

    path: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    target: tuple[str, ...]
    changed: float
    highest: float
    through: tuple[int, ...]


def write_anomalies_page(preview: AnomalyPreview, out: str | Path, *, command: Sequence[str] = ()) -> Path:
    """Write `report.html` and `anomalies.png` into the folder `out`; return the page's path."""
    folder = Path(out)
    recipe = preview.recipe.model_dump(mode="json", include={"seed", "cohorts", "preprocessing"})
    write_whole(folder / "anomalies.png", draw_contact_sheet(preview))
    return write_report_page(
        folder,
        "anomalies.html",
        preview=preview,
        rows=[row_of(pictured) for pictured in preview.images],
        settings=described(preview.make.settings),
        heat=", ".join(f"rgb{colour}" for colour in HEAT),
        recipe=yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100),
        command=shown_command(command),
    )


def row_of(pictured: Pictured) -> Row:
    return Row(
        pictured.path,
        uris(pictured.before),
        uris(pictured.after),
        uris(pictured.target),
        pictured.changed,
        pictured.highest,
        pictured.through,
    )


def described(settings: Any) -> list[tuple[str, Any, str]]:
    """Name, value and description of each setting but the name."""
    fields = type(settings).model_fields
    return [
        (name, getattr(settings, name), fields[name].description or "") for name in fields if name != "name"
    ]


def draw_contact_sheet(preview: AnomalyPreview) -> bytes:
    """All images as one PNG."""
    planes = 3 if preview.volumes else 1
    beside = 1 if preview.volumes else min(BESIDE, len(preview.images))
    lines = -(-len(preview.images) // beside)
    with matplotlib.rc_context(STYLE):
        figure = Figure(
            figsize=(beside * 3 * planes * PLANE + 0.2, lines * PLANE + 0.3),
            layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0),
        )
        axes = figure.subplots(lines, beside * 3 * planes, squeeze=False)
        for one in axes.ravel():
            one.set_axis_off()
        for number, pictured in enumerate(preview.images):
            shown = (*pictured.before, *pictured.after, *pictured.target)
            start = number % beside * len(shown)
            for place, plane in enumerate(shown):
                panel = axes[number // beside, start + place]
                panel.imshow(plane, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
                if place % planes == 0 and number < beside:
                    panel.set_title(COLUMNS[place // planes], fontsize=8, loc="left", pad=3)
        written = io.BytesIO()
        figure.savefig(written, format="png", dpi=150, facecolor="white")
    return written.getvalue()
