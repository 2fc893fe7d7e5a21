"""An exported bundle: read without trust, and computed without torch.

export.json                recipe, fitted preprocessing, calibration, provenance; size and SHA-256 of each
                           other file, what the graphs take and give
model.onnx                 the detector's score as a graph
baseline-….onnx            the trivial baselines that go along
preprocessing.safetensors  arrays of the fitted preprocessing
calibration.safetensors    arrays of the calibrations
seen.json                  what the fit saw, as digests and keyed hashes
README.md                  the model card
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from secondread.bundles.decisions import Baseline
from secondread.bundles.declared import DeclaredFile, TensorFile, read_declared, refuse_large
from secondread.bundles.fitted_model import FittedModel
from secondread.bundles.model_card import ModelCard
from secondread.bundles.other_version import CHANGED
from secondread.bundles.read_document import SEEN as SEEN_LIMITS
from secondread.bundles.read_document import one_line
from secondread.bundles.seen import Seen
from secondread.calibration.calibration import Calibration
from secondread.errors import DataError, UserError
from secondread.exporting.export_document import (
    CALIBRATION,
    DOCUMENT,
    PREPROCESSING,
    SEEN,
    ExportDocument,
    read_export,
)
from secondread.exporting.graph_scores import GraphScores, open_graph
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.recipes.recipe import Recipe
from secondread.settings.arguments import checked
from secondread.strict.json_text import parse_json
from secondread.strict.plain_file import Unfit, length_of, open_plain
from secondread.terminal.events import log_event
from secondread.wording.short import shortened
from secondread.wording.sizes import times

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True, repr=False)
class Exported(FittedModel):
    """A bundle whose detector is a graph. It judges as the bundle does, without torch.

    bundle  digest of the bundle that was exported; `digest` is that of `export.json`

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=40, n_abnormal=5)
    >>> _ = secondread.fit("spectrum", manifest, "bundle", workers=0, progress=False)
    >>> _ = secondread.export("bundle", "exported")
    >>> exported = secondread.Exported.load("exported")
    >>> image = secondread.read_image("phantoms/train/normal/00000-pa.png")
    >>> exported.judge_images([image]).p_values.shape
    (1,)
    """

    bundle: str
    model_card: ModelCard
    graph: GraphScores
    companions: Mapping[str, Baseline]

    def __repr__(self) -> str:
        where = "" if self.path is None else f"{shortened(self.path.name, 60)}, "
        return (
            f"<Exported {shortened(self.recipe.about.title, 60)!r} ({where}{self.digest[:12]}): "
            f"{shortened(str(self.recipe.detector['name']), 60)} on "
            f"{times((self.recipe.preprocessing.channels, *self.recipe.preprocessing.size))}, without torch>"
        )

    @property
    def asked(self) -> GraphScores:
        return self.graph

    @property
    def card(self) -> ModelCard:
        return self.model_card

    @property
    def baselines(self) -> Mapping[str, Baseline]:
        return self.companions

    @classmethod
    @checked
    def load(cls, path: str | Path) -> Self:
        """Read an exported bundle that is exactly what its `export.json` says.

        Raises UserError where there is none at `path`, or onnxruntime is not installed; DataError in one line
        where something in it is damaged, was changed, or is of a newer version.
        """
        path = Path(path)
        document, digest = read_export(path)
        for name, declared in document.files.items():
            _verify(path / name, declared)
        with ThreadPoolExecutor(1) as beside:
            # ONNX Runtime prepares the graph without Python, so all else is read meanwhile.
            opened = beside.submit(open_graph, path / document.graph.file)
            return cls._read(path, document, digest, opened)

    @classmethod
    def _read(
        cls, path: Path, document: ExportDocument, digest: str, opened: Future[InferenceSession]
    ) -> Self:
        try:
            seen = Seen.model_validate(
                parse_json(read_declared(path / SEEN, document.files[SEEN], DOCUMENT), SEEN_LIMITS)
            )
            recipe = Recipe.from_mapping(document.recipe)
            arrays = {name: _arrays(path, document, name) for name in (PREPROCESSING, CALIBRATION)}
            preprocessing = Preprocessing.from_state(
                recipe.preprocessing, document.preprocessing, arrays[PREPROCESSING]
            )
            calibrations = {
                name: Calibration.from_state(said, of_one(arrays[CALIBRATION], name))
                for name, said in described(document).items()
            }
            calibration = calibrations.pop("")
            calibration.require_parts(document.parts)
            calibration.require_size(recipe.preprocessing.size)
            _refuse_other_sizes(document, recipe)
        except (UserError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise DataError(f"{path}: does not fit together ({one_line(error)}); {CHANGED}") from error
        graph = GraphScores(
            path / document.graph.file,
            document.graph,
            window=recipe.window,
            processing=calibration.processing,
            session=opened.result(),
        )
        companions = {
            name: Baseline(GraphScores(path / said.graph.file, said.graph), calibrations[name])
            for name, said in document.baselines.items()
        }
        log_event("exported bundle read", digest=digest, detector=recipe.detector["name"])
        return cls(
            recipe=recipe,
            preprocessing=preprocessing,
            parts=document.parts,
            calibration=calibration,
            provenance=document.provenance,
            seen=seen,
            path=path,
            digest=digest,
            bundle=document.bundle,
            model_card=document.card,
            left_out=document.left_out,
            graph=graph,
            companions=companions,
        )


def described(document: ExportDocument) -> dict[str, dict[str, Any]]:
    """The JSON of each calibration: of the detector under no name, of the baselines under theirs."""
    return {"": document.calibration} | {n: said.calibration for n, said in document.baselines.items()}


def of_one(arrays: Mapping[str, NDArray[Any]], name: str) -> dict[str, NDArray[Any]]:
    """The arrays of one calibration: of a baseline those below its name."""
    if not name:
        return {key: value for key, value in arrays.items() if "/" not in key}
    return {key.partition("/")[2]: value for key, value in arrays.items() if key.startswith(f"{name}/")}


def _verify(file: Path, declared: DeclaredFile) -> None:
    """DataError where a file has not the declared size and digest. It is read in pieces: a graph's constants
    may be large."""
    again = "the exported bundle was changed or damaged, copy it again from its source"
    found = hashlib.sha256()
    try:
        with open_plain(file, links=False) as opened:
            same = length_of(opened) == declared.bytes
            while same and (chunk := opened.read(CHUNK)):
                found.update(chunk)
    except (Unfit, OSError) as error:
        problem = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
        raise DataError(f"{file}: {problem}; {again}") from None
    if not same or found.hexdigest() != declared.sha256:
        raise DataError(f"{file}: is not the file that {DOCUMENT} declares; {again}")


def _arrays(path: Path, document: ExportDocument, name: str) -> dict[str, NDArray[Any]]:
    file = TensorFile.open(path / name, document.files[name], DOCUMENT)
    refuse_large(name, file.forms)
    return file.arrays()


def _refuse_other_sizes(document: ExportDocument, recipe: Recipe) -> None:
    """ValueError where a graph takes other images than the recipe makes."""
    for form in (document.graph, *(said.graph for said in document.baselines.values())):
        wanted = recipe.detector_size if form is document.graph else recipe.preprocessing.size
        if (form.channels, form.size) != (recipe.preprocessing.channels, wanted):
            raise ValueError(f"{form.file} takes images of {times((form.channels, *form.size))}")
