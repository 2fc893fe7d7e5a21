"""A bundle's files written, and what `bundle.json` says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from secondread.bundles.bundle_document import (
    CALIBRATION,
    COMPANIONS,
    FORMAT,
    MODEL,
    NEEDS,
    PREPROCESSING,
    BundleDocument,
    Kept,
    Statements,
)
from secondread.bundles.companions import Companions
from secondread.bundles.declared import DeclaredFile
from secondread.bundles.facts import Facts
from secondread.bundles.fitted_model import FittedModel
from secondread.bundles.model_card import ModelCard, model_card, write_card
from secondread.bundles.tensors import write_tensors
from secondread.detectors.contract import Detector
from secondread.postprocessing.map_processing import NORMAL
from secondread.recipes.without_places import without_places
from secondread.version import __version__


@dataclass(frozen=True)
class Content:
    """What becomes a bundle's files: a fitted model with its detector, its baselines, and its owner's
    words."""

    model: FittedModel
    detector: Detector
    companions: Companions
    statements: Statements

    def write(self, folder: Path) -> str:
        """Write the six files and the card into an empty folder; the bundle's digest."""
        model = self.model
        files = {
            name: write_tensors(folder / name, tensors)
            for name, tensors in (
                (MODEL, self.detector.state_dict()),
                (PREPROCESSING, model.preprocessing.state()[1]),
                (CALIBRATION, model.calibration.state()[1]),
                (COMPANIONS, self.companions.state()[1]),
            )
        }
        seen = model.seen.model_dump_json().encode()
        (folder / "seen.json").write_bytes(seen)
        files["seen.json"] = DeclaredFile(bytes=len(seen), sha256=hashlib.sha256(seen).hexdigest())
        document = self.document(files)
        text = document.text()
        (folder / "bundle.json").write_bytes(text)
        digest = hashlib.sha256(text).hexdigest()
        write_card(folder, model_card(Facts.of(document, digest, model.calibration, model.seen)))
        return digest

    @property
    def card(self) -> ModelCard:
        """Of a bundle in memory: no file is looked at."""
        model = self.model
        return model_card(Facts.of(self.document({}), model.digest, model.calibration, model.seen))

    def document(self, files: Mapping[str, DeclaredFile]) -> BundleDocument:
        """`bundle.json` of a bundle with these files."""
        model = self.model
        return BundleDocument(
            format=FORMAT,
            written_by=__version__,
            needs=NEEDS,
            recipe=without_places(model.recipe.model_dump(mode="json")),
            preprocessing=model.preprocessing.state()[0],
            parts=model.parts,
            calibration=model.calibration.state()[0],
            companions=self.companions.state()[0],
            provenance=model.provenance,
            statements=self.statements,
            left_out=model.left_out,
            keeps=tuple(self._kept()),
            files=dict(files),
        )

    def _kept(self) -> Iterator[Kept]:
        model, state = self.model, self.detector.state_dict()
        for name, kind in self.detector.keeps.items():
            if name in state and len(state[name]):
                yield Kept(file=MODEL, tensor=name, rows=len(state[name]), kind=kind)
        yield from _means(PREPROCESSING, model.preprocessing.state()[1], "align_mean")
        yield from _means(CALIBRATION, model.calibration.state()[1], NORMAL)
        for companion, detector in self.companions.detectors.items():
            held: Mapping[str, Tensor] = detector.state_dict()
            for name, kind in detector.keeps.items():
                tensor = f"{companion}/detector/{name}"
                yield Kept(file=COMPANIONS, tensor=tensor, rows=len(held[name]), kind=kind)


def _means(file: Any, arrays: Mapping[str, NDArray[Any]], beginning: str) -> Iterator[Kept]:
    for name in arrays:
        if name.startswith(beginning):
            yield Kept(file=file, tensor=name, rows=1, kind="mean")
