"""From a bundle to the folder that is read without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondread.bundles.bundle import Bundle
from secondread.bundles.declared import DeclaredFile
from secondread.bundles.model_card import ModelCard, Section, write_card
from secondread.bundles.tensors import write_tensors
from secondread.detectors.contract import Detector
from secondread.errors import UserError
from secondread.exporting.agreement import refuse_disagreement
from secondread.exporting.export_document import (
    CALIBRATION,
    DOCUMENT,
    FORMAT,
    PREPROCESSING,
    SEEN,
    BaselineForm,
    DrawForm,
    ExportDocument,
    GraphForm,
    is_exported,
    read_export,
)
from secondread.exporting.exported import Exported
from secondread.exporting.graph import export_detector
from secondread.exporting.onnx_graph import MODEL_FILE
from secondread.exporting.spot_check import agreement_with_torch
from secondread.outputs.folders import output_bundle, refuse_inputs
from secondread.outputs.run_record import now, versions
from secondread.outputs.whole import remove_folder, whole_folder
from secondread.recipes.without_places import without_places
from secondread.settings.arguments import checked
from secondread.terminal.events import log_event
from secondread.wording.sizes import in_words


@checked
def export(bundle: Bundle | str | Path, out: str | Path, *, force: bool = False) -> Exported:
    """Write a bundle as graphs, arrays and JSON into the new folder `out`, whole or not at all.

    Where `out` is there and is this bundle exported by this version already, it stays. `force` replaces
    another one.

    The graph is compared with torch on the spot (`spot_check`).

    Raises UserError where the bundle's score is no graph, packages are missing, it is not saved, `out` is
    something else, or the disk is full; DataError where the graph gives other scores than torch.

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=40, n_abnormal=5)
    >>> bundle = secondread.fit("spectrum", manifest, "bundle", workers=0, progress=False)
    >>> secondread.export(bundle, "exported").parts
    ('distance',)
    """
    bundle, out = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle), Path(out)
    if bundle.path is None:
        raise UserError("the bundle is not saved, and an exported one says what it was made of; save it")
    refuse_inputs(out, bundle.path)
    with output_bundle(out):
        if out.exists():
            if not is_exported(out):
                raise UserError(f"{out}: there is something else already; choose another place with -o")
            if not force:
                if already(out, bundle):
                    return Exported.load(out)
                raise UserError(
                    f"{out}: another exported bundle is there already; replace it with --force, or choose "
                    "another -o"
                )
        with whole_folder(out) if not out.exists() else _in_place_of(out) as folder:
            _write(bundle, folder)
        log_event("bundle exported", digest=bundle.digest)
        return Exported.load(out)


def already(out: Path, bundle: Bundle) -> bool:
    """Whether `out` is this bundle, exported by this version."""
    if not is_exported(out):
        return False
    document, _ = read_export(out)
    return (document.bundle, document.versions) == (bundle.digest, versions())


@contextmanager
def _in_place_of(out: Path) -> Iterator[Path]:
    """A new folder that replaces `out` once it is whole."""
    fresh = out.with_name(f"{out.name}.new")
    remove_folder(fresh)
    with whole_folder(fresh) as folder:
        yield folder
    remove_folder(out)
    fresh.rename(out)


def _write(bundle: Bundle, folder: Path) -> None:
    """The files of an exported bundle, into a folder that is there already."""
    graph = _graph(bundle.detector, folder, MODEL_FILE, precision=bundle.precision)
    found = agreement_with_torch(bundle, folder / MODEL_FILE, graph)
    refuse_disagreement(found, str(bundle.recipe.detector["name"]))
    graph = graph.model_copy(update={"remarks": (*graph.remarks, str(found))})
    calibration, arrays = bundle.calibration.state()
    baselines = {}
    for name, detector in bundle.companions.detectors.items():
        said, own = bundle.companions.calibrations[name].state()
        form = _graph(detector, folder, f"baseline-{name}.onnx")
        baselines[name] = BaselineForm(graph=form, calibration=said)
        arrays = {**arrays, **{f"{name}/{key}": value for key, value in own.items()}}
    preprocessing, fitted = bundle.preprocessing.state()
    tensors: Mapping[str, Mapping[str, NDArray[np.generic]]] = {PREPROCESSING: fitted, CALIBRATION: arrays}
    files = {name: write_tensors(folder / name, values) for name, values in tensors.items()}
    (folder / SEEN).write_bytes(bundle.seen.model_dump_json().encode())
    for file in sorted(folder.iterdir()):
        if file.name not in files:
            files[file.name] = _declared(file)
    document = ExportDocument(
        format=FORMAT,
        bundle=bundle.digest,
        created=now(),
        versions=versions(),
        recipe=without_places(bundle.recipe.model_dump(mode="json")),
        preprocessing=preprocessing,
        parts=bundle.parts,
        graph=graph,
        baselines=baselines,
        calibration=calibration,
        provenance=bundle.provenance,
        left_out=bundle.left_out,
        card=_card(bundle, graph),
        files=files,
    )
    write_card(folder, document.card)
    text = json.dumps(document.model_dump(mode="json"), indent=1, allow_nan=False)
    (folder / DOCUMENT).write_text(text, encoding="utf-8")


def _graph(detector: Detector, folder: Path, file: str, *, precision: str = "float32") -> GraphForm:
    """Write the detector's graph under that name, and say what it takes and gives."""
    facts = export_detector(detector, folder, file=file, precision=precision)
    return GraphForm(
        file=file,
        channels=facts.channels,
        size=facts.size,
        parts=dict(facts.parts),
        maps=facts.maps,
        draws=tuple(DrawForm(kind=draw.kind, shape=draw.shape) for draw in facts.draws),
        opset=facts.opset,
        remarks=facts.remarks,
    )


def _declared(file: Path) -> DeclaredFile:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return DeclaredFile(bytes=file.stat().st_size, sha256=digest)


def _card(bundle: Bundle, graph: GraphForm) -> ModelCard:
    """The bundle's model card, and what is different here."""
    told = (
        f"This is the bundle with the digest {bundle.digest}, exported to ONNX (opset {graph.opset}). "
        "`secondread score` reads images with it without torch, and so may any other program: export.json "
        "says what the graphs take and give.",
        *graph.remarks,
    )
    card = bundle.card
    return card.model_copy(
        update={"sections": (*card.sections, Section(title="As a graph", paragraphs=told))}
    )


def size_of(folder: Path) -> str:
    """How large an exported bundle is, for people."""
    return in_words(sum(file.stat().st_size for file in folder.iterdir()))
