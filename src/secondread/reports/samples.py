"""The page of fictional images: each beside its nearest training image, and how near that is."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image as Picture

from secondread.drawing.palette import ABNORMAL, BASELINE, METHOD, NORMAL, ORACLE
from secondread.drawing.style import HEIGHT, STYLE, WIDTH
from secondread.outputs.private import make_folder
from secondread.previews.fictional_images import QUANTILES, SHOWN, Sample, Sampling
from secondread.previews.planes import Planes
from secondread.reports.figures import save
from secondread.reports.templates import write_report_page
from secondread.wording.commands import shown_command

COLOURS = (ABNORMAL, ORACLE, METHOD, BASELINE)


@dataclass(frozen=True)
class Pair:
    """A fictional image and its nearest training image, each as data URIs of its planes."""

    sample: Sample
    drawn: tuple[str, ...]
    nearest: tuple[str, ...]
    name: str


@dataclass(frozen=True)
class Line:
    """One row of the table of distances: of what, how many, and its quantiles."""

    name: str
    count: int
    quantiles: tuple[float, ...]
    near: int | None


def write_samples_page(sampling: Sampling, out: str | Path, *, command: Sequence[str] = ()) -> Path:
    """Write `report.html` and `figures/` into the folder `out`; return the page's path."""
    folder = Path(out)
    recipe = sampling.bundle.recipe
    return write_report_page(
        folder,
        "samples.html",
        sampling=sampling,
        title=recipe.about.title,
        lines=lines(sampling),
        quantiles=QUANTILES,
        figure=Markup(draw_distances(sampling, folder / "figures")) if sampling.quantiles else None,
        closest=pairs(sampling, sampling.closest),
        shown={
            temperature: pairs(sampling, [s for s in sampling.at(temperature) if s.number < SHOWN])
            for temperature in sampling.temperatures
        },
        line=[uris(picture) for picture in sampling.interpolation.pictures] if sampling.interpolation else [],
        volumes=len(sampling.bundle.detector.size) == 3,
        recipe=recipe.to_yaml(),
        command=shown_command(command),
    )


def pairs(sampling: Sampling, samples: Sequence[Sample]) -> list[Pair]:
    """Those of the samples whose picture was kept."""
    return [
        Pair(
            sample,
            uris(sampling.pictures[sample.file]),
            uris(sampling.neighbour(sample)),
            "" if sample.nearest is None else sampling.training.names[sample.nearest],
        )
        for sample in samples
        if sample.file in sampling.pictures
    ]


def uris(shown: Planes) -> tuple[str, ...]:
    """Each plane as a PNG within a data URI: nothing is lost, so that copies can be told."""
    found = []
    for plane in shown:
        written = io.BytesIO()
        Picture.fromarray(plane).save(written, "PNG", optimize=True)
        found.append("data:image/png;base64," + base64.b64encode(written.getvalue()).decode("ascii"))
    return tuple(found)


def lines(sampling: Sampling) -> list[Line]:
    """Distances of training images to each other, then those of each temperature."""
    among = sampling.training.among
    found = []
    if sampling.quantiles:
        found.append(Line("training to training", len(among), _quantiles(among), None))
    for temperature in sampling.temperatures:
        measured = [s for s in sampling.at(temperature) if s.distance is not None]
        if measured:
            near = sum(s.quantile is not None and s.quantile < 0.05 for s in measured)
            values = np.array([s.distance for s in measured], float)
            found.append(Line(f"temperature {temperature:g}", len(measured), _quantiles(values), near))
    return found


def _quantiles(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, QUANTILES))


def draw_distances(sampling: Sampling, folder: Path) -> str:
    """Both kinds of distances over the same bins; PNG and SVG into the folder, SVG for the page."""
    make_folder(folder)
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "distances"}):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        _distances(figure.subplots(), sampling)
        return save(figure, folder / "distances")


def _distances(axes: Axes, sampling: Sampling) -> None:
    among = sampling.training.among
    drawn = {
        f"temperature {t:g}": np.array([s.distance for s in sampling.at(t) if s.distance is not None], float)
        for t in sampling.temperatures
    }
    most = max(float(values.max()) for values in (among, *drawn.values()) if len(values))
    bins = np.linspace(0, most or 1.0, 33).tolist()
    axes.hist(
        among, bins=bins, weights=np.full(len(among), 1 / len(among)), color=NORMAL, alpha=0.45,
        label=f"training to training ({len(among)})",
    )  # fmt: skip
    for place, (name, values) in enumerate(drawn.items()):
        if len(values):
            axes.hist(
                values, bins=bins, weights=np.full(len(values), 1 / len(values)), histtype="step",
                linewidth=1.6, color=COLOURS[place % len(COLOURS)], linestyle=("-", "--")[place // 4 % 2],
                label=f"{name} ({len(values)})",
            )  # fmt: skip
    axes.set_xlabel("distance to the nearest training image")
    axes.set_ylabel("share")
    axes.set_xlim(left=0)
    axes.legend(loc="best")
