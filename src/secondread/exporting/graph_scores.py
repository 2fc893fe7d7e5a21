"""Raw scores from a graph, by ONNX Runtime, one image at a time. No torch here.

What `scoring.scorer` promises of torch holds here too: on one machine, with the same versions and number of
threads, an image's scores are the same bits whatever else is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondread.bundles.read_document import one_line
from secondread.calibration.processed_scores import processed
from secondread.calibration.raw_scores import RawScores, concatenate
from secondread.errors import DataError, UserError
from secondread.exporting.draws import Draw, drawn
from secondread.exporting.export_document import GraphForm
from secondread.images.workers.threads import threads
from secondread.postprocessing.map_processing import MapProcessing
from secondread.tiling.tiled_image import TiledImage
from secondread.tiling.tiles import tile_at
from secondread.tiling.window_settings import WindowSettings

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Floats32 = NDArray[np.float32]


class GraphScores:
    """A graph that is asked for raw scores.

    window      the graph is given the image's tiles; None = the image
    processing  what every map goes through before anyone sees it; None = nothing
    session     the graph, where it is open already (`open_graph`)

    Raises UserError where ONNX Runtime is not installed; DataError where the graph cannot be read, or takes
    or gives something else than `form` says.
    """

    def __init__(
        self,
        path: Path,
        form: GraphForm,
        *,
        window: WindowSettings | None = None,
        processing: MapProcessing | None = None,
        session: InferenceSession | None = None,
    ) -> None:
        self.path, self.form, self.window, self.processing = path, form, window, processing
        self.session = session or open_graph(path)
        self.draws = [Draw(draw.kind, draw.shape) for draw in form.draws]
        for what, expected, found in (
            ("takes", form.inputs, self.session.get_inputs()),
            ("gives", form.outputs, self.session.get_outputs()),
        ):
            has = {value.name: (value.type, tuple(value.shape)) for value in found}
            if has != expected:
                name = next(iter(sorted(has.items() ^ expected.items())))[0]
                raise DataError(
                    f"{path}: what the graph {what} as {name[:80]!r} is not what export.json says; the "
                    "exported bundle was changed or damaged"
                )

    def __repr__(self) -> str:
        return f"<GraphScores of {self.path.name}>"

    def batch(
        self,
        images: NDArray[np.float32],
        valid: NDArray[np.bool_] | None,
        digests: Sequence[str],
        *,
        maps: bool = True,
    ) -> RawScores:
        """As `scoring.scorer.Scorer.batch`. RuntimeError where the graph fails."""
        scores = self.processing is not None and self.processing.scores
        wanted = [f"part.{name}" for name in self.form.parts]
        if maps or scores:
            wanted += [f"map.{name}" for name in self.form.maps]
        found = [
            self._one(image, None if valid is None else valid[row], digests[row], wanted)
            for row, image in enumerate(images)
        ]
        raw = concatenate(found)
        if self.processing is not None and raw.maps is not None:
            raw = processed(raw, images, valid, self.processing)
        return raw if maps else raw.without_maps()

    def _one(
        self, image: NDArray[np.float32], valid: NDArray[np.bool_] | None, digest: str, wanted: Sequence[str]
    ) -> RawScores:
        if self.window is not None:
            return self._through(self.window, image, valid, digest, wanted)
        parts, maps = self._asked(image, valid, drawn(self.draws, digest), wanted)
        return self._raw(parts, maps)

    def _through(
        self,
        window: WindowSettings,
        image: NDArray[np.float32],
        valid: NDArray[np.bool_] | None,
        digest: str,
        wanted: Sequence[str],
    ) -> RawScores:
        """Of an image from those of its tiles, whose draws come in the order in which torch draws them: of
        tiles that it is given together the first of all, then the second of all."""
        tiled = TiledImage(image.shape[1:], window, None if valid is None else valid[0])
        groups = list(tiled.groups())
        stream = drawn([draw for group in groups for draw in self.draws for _ in group], digest)
        for group in groups:
            draws = [list(islice(stream, len(group))) for _ in self.draws]
            for number, corner in enumerate(group):
                at = tile_at(corner, window.size)
                own = iter([values[number] for values in draws])
                parts, maps = self._asked(image[at], None if valid is None else valid[at], own, wanted)
                tiled.add([corner], parts, self.form.parts, maps)
        parts = {name: np.array([value]) for name, value in tiled.parts().items()}
        return self._raw(parts, {name: heat[np.newaxis] for name, heat in tiled.maps().items()})

    def _raw(self, parts: Mapping[str, Floats32], maps: Mapping[str, Floats32]) -> RawScores:
        doubled = {name: values.astype(np.float64) for name, values in parts.items()}
        return RawScores(doubled, dict(self.form.parts), dict(maps) or None)

    def _asked(
        self,
        image: Floats32,
        valid: NDArray[np.bool_] | None,
        draws: Iterable[Floats32],
        wanted: Sequence[str],
    ) -> tuple[dict[str, Floats32], dict[str, Floats32]]:
        """The parts `[1]` and maps `[1, *size]` of what the detector sees as one image."""
        where = np.ones((1, *image.shape[1:]), bool) if valid is None else valid
        given: dict[str, Any] = {
            "pixels": np.ascontiguousarray(image[np.newaxis], dtype=np.float32),
            "valid": np.ascontiguousarray(where[np.newaxis]),
        }
        given |= {f"draw.{number}": values for number, values in enumerate(draws)}
        try:
            values = dict(zip(wanted, self.session.run(list(wanted), given), strict=True))
        except Exception as error:
            raise RuntimeError(f"its graph {self.path.name} fails: {one_line(error)}") from error
        return (
            {name: values[f"part.{name}"] for name in self.form.parts},
            {name: values[f"map.{name}"][:, 0] for name in self.form.maps if f"map.{name}" in values},
        )


def open_graph(path: Path) -> InferenceSession:
    """Raises UserError where ONNX Runtime is not installed, and DataError where the graph cannot be read."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise UserError(
            f"{path}: onnxruntime, which computes exported bundles, is not installed; pip install onnxruntime"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads().number
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.enable_cpu_mem_arena = False  # it keeps twice what a graph needs
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise DataError(f"{path}: is no graph that onnxruntime reads ({one_line(error)})") from error
