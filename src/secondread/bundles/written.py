"""A bundle's files written, and what `bundle.json` says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from torch import Tensor

from secondread.bundles.bundle_document import FORMAT, NEEDS, TENSOR_FILES, BundleDocument, Kept
from secondread.bundles.declared import DeclaredFile
from secondread.bundles.facts import Facts
from secondread.bundles.model_card import model_card, write_card
from secondread.bundles.tensors import write_tensors
from secondread.postprocessing.map_processing import NORMAL
from secondread.recipes.without_places import without_places
from secondread.version import __version__

if TYPE_CHECKING:
    from secondread.bundles.bundle import Bundle

MODEL, PREPROCESSING, CALIBRATION, COMPANIONS = TENSOR_FILES


def write_bundle(bundle: Bundle, folder: Path) -> str:
    """Write the six files and the card into an empty folder; the bundle's digest."""
    files = {
        name: write_tensors(folder / name, tensors)
        for name, tensors in (
            (MODEL, bundle.detector.state_dict()),
            (PREPROCESSING, bundle.preprocessing.state()[1]),
            (CALIBRATION, bundle.calibration.state()[1]),
            (COMPANIONS, bundle.companions.state()[1]),
        )
    }
    seen = bundle.seen.model_dump_json().encode()
    (folder / "seen.json").write_bytes(seen)
    files["seen.json"] = DeclaredFile(bytes=len(seen), sha256=hashlib.sha256(seen).hexdigest())
    document = document_of(bundle, files)
    text = document.text()
    (folder / "bundle.json").write_bytes(text)
    digest = hashlib.sha256(text).hexdigest()
    write_card(folder, model_card(Facts.of(document, digest, bundle.calibration, bundle.seen)))
    return digest


def facts_of(bundle: Bundle) -> Facts:
    """What there is to know of a bundle in memory. Its files are not looked at."""
    return Facts.of(document_of(bundle, {}), bundle.digest, bundle.calibration, bundle.seen)


def document_of(bundle: Bundle, files: Mapping[str, DeclaredFile]) -> BundleDocument:
    """`bundle.json` of a bundle with these files."""
    return BundleDocument(
        format=FORMAT,
        written_by=__version__,
        needs=NEEDS,
        recipe=without_places(bundle.recipe.model_dump(mode="json")),
        preprocessing=bundle.preprocessing.state()[0],
        parts=bundle.parts,
        calibration=bundle.calibration.state()[0],
        companions=bundle.companions.state()[0],
        provenance=bundle.provenance,
        statements=bundle.statements,
        left_out=bundle.left_out,
        keeps=tuple(_kept(bundle)),
        files=dict(files),
    )


def _kept(bundle: Bundle) -> Iterator[Kept]:
    state = bundle.detector.state_dict()
    for name, kind in bundle.detector.keeps.items():
        if name in state and len(state[name]):
            yield Kept(file=MODEL, tensor=name, rows=len(state[name]), kind=kind)
    for file, arrays, beginning in (
        (PREPROCESSING, bundle.preprocessing.state()[1], "align_mean"),
        (CALIBRATION, bundle.calibration.state()[1], NORMAL),
    ):
        yield from _means(file, arrays, beginning)
    for companion, detector in bundle.companions.detectors.items():
        held: Mapping[str, Tensor] = detector.state_dict()
        for name, kind in detector.keeps.items():
            yield Kept(
                file=COMPANIONS, tensor=f"{companion}/detector/{name}", rows=len(held[name]), kind=kind
            )


def _means(file: Any, arrays: Mapping[str, NDArray[Any]], beginning: str) -> Iterator[Kept]:
    for name in arrays:
        if name.startswith(beginning):
            yield Kept(file=file, tensor=name, rows=1, kind="mean")
