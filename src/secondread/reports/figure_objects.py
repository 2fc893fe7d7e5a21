"""Figures as objects of matplotlib, for notebooks and papers, as the report draws them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from secondread.comparison.judging.table import Table
from secondread.drawing.palette import INK, METHOD
from secondread.drawing.panels import visible_range
from secondread.drawing.style import HEIGHT, STYLE, WIDE, WIDTH
from secondread.drawing.training_curves import curves_size, draw_curves, with_curves
from secondread.errors import DataError, UserError
from secondread.evaluation.evaluation import Evaluation
from secondread.images.in_memory import array_of
from secondread.images.read import read_image
from secondread.images.write import map_on
from secondread.readings.maps import hottest_slice
from secondread.readings.reading import Reading
from secondread.readings.readings import Readings
from secondread.reports.comparison_figures import comparison_drawings
from secondread.reports.figures import drawings
from secondread.settings.arguments import checked
from secondread.wording.lists import few
from secondread.wording.numbers import significant
from secondread.wording.short import shortened


class Drawn(Figure):
    """A figure that a notebook shows by itself, without pyplot."""

    def _repr_png_(self) -> bytes:
        drawn = io.BytesIO()
        self.savefig(drawn, format="png", dpi=100, facecolor="white")
        return drawn.getvalue()


@checked
def figures(of: Evaluation | Readings | Table) -> dict[str, Figure]:
    """All figures of an evaluation, of readings or of a comparison's table, by name.

    Of an evaluation these are the report's: `histogram`, `roc`, `precision_recall`, `baselines`, and where
    there is something to show `findings`, `studies`, `studies_roc`, `complexity`, `parts`, `background` and
    `training`. Of readings they are `scores` and `training`; of a comparison `auroc`, `ranks`, `cost`, `roc`
    and where there is something to show `agreement` and `contamination`.

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=50, n_abnormal=10)
    >>> bundle = secondread.fit("spectrum", manifest, workers=0, progress=False)
    >>> readings = secondread.score(bundle, manifest, where=["split=test"], workers=0)
    >>> sorted(secondread.figures(readings))
    ['scores']
    """
    return {name: draw() for name, draw in _named(of).items()}


@checked
def figure(of: Evaluation | Readings | Table, name: str) -> Figure:
    """One figure of an evaluation, readings or a comparison: see `figures` for the names.

    Raises UserError where there is none of that name.

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=50, n_abnormal=10)
    >>> bundle = secondread.fit("spectrum", manifest, workers=0, progress=False)
    >>> readings = secondread.score(bundle, manifest, where=["split=test"], workers=0)
    >>> evaluation = secondread.evaluate(readings, manifest, bootstrap=50, workers=0)
    >>> secondread.figure(evaluation, "roc").savefig("roc.pdf")
    """
    found = _named(of)
    if name not in found:
        raise UserError(f"no figure is called {name!r} here; there is {few(list(found), len(found))}")
    return found[name]()


@checked
def show_maps(readings: Readings, images: Sequence[Any] | Any = None, *, most: int = 6) -> Figure:
    """The images with the highest scores, each beside itself with its heat map over it, on one scale.

    images  of readings of arrays: the arrays that were scored, in their order; files are read again
    most    images at most

    Of a volume it is the slice with the hottest voxel. Raises UserError where the readings have no maps.

    >>> import numpy as np, secondread
    >>> films = np.random.default_rng(0).normal(size=(20, 32, 32))
    >>> recipe = secondread.Recipe.load("intensity", set=["preprocessing.size=[32,32]"])
    >>> bundle = secondread.fit(recipe, films, workers=0, progress=False)
    >>> readings = secondread.score(bundle, films[:3], maps=True)
    >>> secondread.show_maps(readings, films[:3]).get_size_inches().shape
    (2,)
    """
    kept = readings.maps
    mapped = [row for row in readings if (row.map is not None if kept is None else row.path in kept)]
    if not mapped:
        raise UserError("the readings have no maps; score with maps=True")
    if images is not None and len(images) != len(readings):
        raise UserError(f"{len(images)} images were given for {len(readings)} readings; give those scored")
    place = {row.path: number for number, row in enumerate(readings.rows)}
    shown = sorted(mapped, key=lambda row: -(row.score or 0.0))[:most]
    drawn = [
        _picture_and_map(readings, row, None if images is None else images[place[row.path]]) for row in shown
    ]
    low, high = readings.run.map_scale or visible_range(np.concatenate([over.ravel() for _, over in drawn]))
    with matplotlib.rc_context(STYLE):
        figure = Drawn(figsize=(WIDE, 2.3 * -(-len(shown) // 2)), layout="constrained")
        grid = figure.subplots(-(-len(shown) // 2), 4, squeeze=False)
        for axes in grid.ravel():
            axes.set_axis_off()
        for number, (row, (image, over)) in enumerate(zip(shown, drawn, strict=True)):
            if over.ndim == 3:
                over, image = hottest_slice(over, image)
            beside, under = grid[number // 2, 2 * (number % 2) :][:2]
            beside.imshow(image, cmap="gray")
            under.imshow(image, cmap="gray")
            opacity = 0.6 * np.clip((over - low) / max(high - low, 1e-12), 0, 1)
            under.imshow(over, cmap="inferno", vmin=low, vmax=high, alpha=opacity)
            beside.set_title(shortened(row.path, 28), fontsize=8.5)
            told = "" if row.p_value is None else f", p = {significant(row.p_value)}"
            under.set_title(f"score {significant(row.score)}{told}", fontsize=8.5)
    return figure


def _picture_and_map(
    readings: Readings, row: Reading, given: Any
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Its grey values, of several channels their mean, and its map, both on the image's array: of a volume
    `[slice, row, column]`."""
    if given is not None:
        pixels, spatial = array_of(given), len(readings.run.recipe["preprocessing"]["size"])
        grey = pixels.mean(axis=0) if pixels.ndim > spatial else pixels
        return np.asarray(grey, np.float32), _on_file_axes(readings, row)
    if readings.maps is not None and row.path.isdecimal():
        raise UserError("readings of arrays hold no images; give the arrays that were scored as images")
    image = read_image(readings.reference(row))
    found = (
        map_on(read_image(str(row.map)), image)
        if readings.maps is None
        else image.geometry.from_file_axes(readings.maps[row.path])
    )
    if found is None or found.shape != image.size:
        raise DataError(f"{row.path}: its map is not of the image's size; score again with maps=True")
    return np.asarray(image.pixels.mean(axis=0), np.float32), np.asarray(found, np.float32)


def _on_file_axes(readings: Readings, row: Reading) -> NDArray[np.float32]:
    if readings.maps is not None:
        return readings.maps[row.path]
    found = read_image(str(row.map))
    return np.asarray(found.geometry.to_file_axes(found.pixels[0]), np.float32)


def _named(of: Evaluation | Readings | Table) -> dict[str, Callable[[], Figure]]:
    if isinstance(of, Evaluation):

        def drawn(name: str) -> Figure:
            drawing = found[name]
            return _drawn(lambda figure: drawing.draw(figure, of), (drawing.width, drawing.height))

        found = drawings(of)
        return {name: (lambda name=name: drawn(name)) for name in found}  # type: ignore[misc]
    if isinstance(of, Table):
        return {
            name: (lambda draw=draw, size=size: _drawn(lambda figure: draw(figure, of), size))  # type: ignore[misc]
            for name, (draw, *size) in comparison_drawings(of).items()
        }
    named: dict[str, Callable[[], Figure]] = {}
    if any(not row.failed for row in of):
        named["scores"] = lambda: _drawn(lambda figure: _scores(figure.subplots(), of), (WIDTH, HEIGHT))
    if stages := with_curves(of.run.provenance.training.stages):
        named["training"] = lambda: _drawn(lambda figure: draw_curves(figure, stages), curves_size(stages))
    return named


def _drawn(draw: Callable[[Figure], None], size: tuple[float, float]) -> Figure:
    with matplotlib.rc_context(STYLE):
        figure = Drawn(figsize=size, layout="constrained")
        draw(figure)
    return figure


def _scores(axes: Axes, readings: Readings) -> None:
    """How the scores lie, and where the calibrated threshold is."""
    values = np.array([row.score for row in readings if row.score is not None])
    low, high = visible_range(values)
    axes.hist(np.clip(values, low, high), bins=min(48, max(10, len(values) // 4)), color=METHOD, alpha=0.7)
    calibration = readings.run.calibration
    threshold = None if calibration is None or calibration.images is None else calibration.images.threshold
    if threshold is not None:
        axes.axvline(threshold, color=INK, linewidth=1.1, linestyle=(0, (4, 2)), label="calibrated threshold")
        axes.legend(loc="best")
    axes.set_xlabel("score (higher = more abnormal)")
    axes.set_ylabel("images")
