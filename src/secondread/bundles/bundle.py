"""A fitted model on disk: a folder of JSON and safetensors, written whole, loaded without trust.

    bundle.json                recipe, fitted preprocessing, calibration, provenance; size and SHA-256 of
                               each other file, type and shape of each tensor
    model.safetensors          the detector's fitted state
    preprocessing.safetensors  arrays of the fitted preprocessing
    calibration.safetensors    arrays of the calibration
    companions.safetensors     the trivial baselines fitted on the same normals
    seen.json                  what the fit saw, as digests and keyed hashes

Beside them lies README.md, the model card, which is for people: nothing here opens it.

Loading runs no code from the folder and believes no size before it is checked.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from secondread.bundles.archive import unpacked
from secondread.bundles.bundle_document import (
    CALIBRATION,
    COMPANIONS,
    MODEL,
    PREPROCESSING,
    TENSOR_FILES,
    Statements,
)
from secondread.bundles.companions import Companions
from secondread.bundles.decisions import Baseline
from secondread.bundles.declared import TensorFile, refuse_large
from secondread.bundles.fitted import plan_fitted
from secondread.bundles.fitted_model import FittedModel
from secondread.bundles.model_card import ModelCard
from secondread.bundles.other_version import refuse_unknown_detector, why_unreadable
from secondread.bundles.read_document import one_line, read_document, read_seen
from secondread.bundles.tensors import read_tensors
from secondread.bundles.written import Content
from secondread.calibration.calibration import Calibration
from secondread.calibration.description import describe
from secondread.detectors.contract import Detector
from secondread.errors import DataError, UserError
from secondread.outputs.whole import whole_folder
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.recipes.build import build_detector
from secondread.recipes.outside_code import refuse_absent_code
from secondread.recipes.recipe import Recipe
from secondread.registry.outside import allow as allow_code
from secondread.scoring.own_modes import own_modes
from secondread.scoring.scorer import Scorer
from secondread.settings.arguments import checked
from secondread.terminal.events import log_event
from secondread.wording.html_tables import html_block, html_line, html_table
from secondread.wording.short import shortened
from secondread.wording.sizes import times

NOTHING_STATED = Statements()


@dataclass(frozen=True, kw_only=True, repr=False)
class Bundle(FittedModel):
    """Everything that scoring needs, and where it came from.

    parts       the names of the detector's raw statistics, in the order of the readings' columns
    statements  of whoever handed it over: licence, data
    left_out    what it was handed over without
    digest      SHA-256 of `bundle.json`, which names the digests of all else; empty before it is saved
    path        the folder or archive, or None before it is saved

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=40, n_abnormal=5)
    >>> _ = secondread.fit("spectrum", manifest, "bundle", workers=0, progress=False)
    >>> bundle = secondread.Bundle.load("bundle")
    >>> image = secondread.read_image("phantoms/train/normal/00000-pa.png")
    >>> bundle.judge_images([image]).p_values.shape
    (1,)
    """

    detector: Detector
    companions: Companions
    statements: Statements = NOTHING_STATED

    def __repr__(self) -> str:
        title, detector = self.recipe.about.title, str(self.recipe.detector["name"])
        where = "not saved" if self.path is None else f"{shortened(self.path.name, 60)}, {self.digest[:12]}"
        return (
            f"<Bundle {shortened(title, 60)!r} ({where}): {shortened(detector, 60)} on "
            f"{times((self.detector.channels, *self.recipe.preprocessing.size))}, "
            f"fitted {self.provenance.created[:19]}>"
        )

    def _repr_html_(self) -> str:
        """As notebooks show it: what it is, what it learned from, and how its scores are calibrated."""
        provenance, about = self.provenance, self.recipe.about
        lines = [
            ("detector", str(self.recipe.detector["name"])),
            ("images", times((self.detector.channels, *self.recipe.preprocessing.size))),
            ("learned from", ", ".join(f"{n:,} {name}" for name, n in provenance.cohorts.items() if n)),
            ("numbers in its state", f"{sum(t.numel() for t in self.detector.state_dict().values()):,}"),
            ("fitted", f"{provenance.created[:19]} on {provenance.device}, seed {provenance.seed}"),
            ("paper", about.paper),
            ("place", "not saved" if self.path is None else shortened(self.path.name, 60)),
        ]
        words = describe(self.calibration)["words"]
        return html_block(
            about.title,
            html_table(("", ""), [line for line in lines if line[1]], left=2),
            *(html_line(text) for text in words),
        )

    @property
    def scorer(self) -> Scorer:
        """What asks its detector, on its device and in its precision."""
        return self.scorer_in(self.precision)

    @property
    def asked(self) -> Scorer:
        return self.scorer

    @property
    def card(self) -> ModelCard:
        return self._content.card

    @property
    def baselines(self) -> dict[str, Baseline]:
        return self.companions.asked(self.device)

    def scorer_in(self, precision: str) -> Scorer:
        """The same in another precision."""
        return Scorer(
            self.detector,
            device=self.device,
            precision=precision,
            window=self.recipe.window,
            processing=self.calibration.processing,
        )

    def save(self, path: str | Path) -> Self:
        """Write the bundle to a new folder `path`, whole or not at all, and return it as saved.

        Raises UserError where `path` exists already or the disk is full.
        """
        path = Path(path)
        if path.exists():
            raise UserError(f"{path}: there is something already; remove it or choose another place with -o")
        with whole_folder(path) as folder:
            digest = self._content.write(folder)
        log_event("bundle saved", digest=digest)
        return replace(self, path=path, digest=digest)

    @property
    def _content(self) -> Content:
        return Content(self, self.detector, self.companions, self.statements)

    @classmethod
    @checked
    def load(cls, path: str | Path, device: str = "cpu", *, allow: Sequence[str] = ()) -> Self:
        """Read a bundle that is exactly what its `bundle.json` says, from its folder or an archive of it.

        allow  code from outside of the package that it may name, such as `my_package.my_module:MyDetector`;
               installed entry points need not be named. Nothing else is imported

        Raises UserError where there is no bundle at `path`, or code that it was fitted with is not installed
        or not allowed; DataError in one line where something in it is damaged, was changed, or is not what a
        bundle may hold.
        """
        path = Path(path)
        with own_modes():
            if path.is_file():
                with unpacked(path) as folder:
                    return replace(cls._read(folder, device, allow), path=path)
            return cls._read(path, device, allow)

    @classmethod
    def _read(cls, path: Path, device: str, allow: Sequence[str]) -> Self:
        document, digest = read_document(path)
        allow_code(allow)
        try:
            refuse_absent_code(document.provenance.code)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        for code in document.provenance.code:
            if note := code.installed_otherwise():
                warnings.warn(f"{path}: {note}", stacklevel=2)
        refuse_unknown_detector(path, document)
        files = {name: TensorFile.open(path / name, document.files[name]) for name in TENSOR_FILES}
        try:
            seen = read_seen(path, document)
            recipe = Recipe.from_mapping(document.recipe)
            detector = build_detector(
                recipe, pretrained=False, plan=lambda make: plan_fitted(make, files[MODEL].forms)
            )
            size = recipe.preprocessing.size
            Companions.plan(document.companions, files[COMPANIONS].forms, detector.channels, size)
            for name in (PREPROCESSING, CALIBRATION):
                refuse_large(name, files[name].forms)
            detector = detector.load_fitted(read_tensors(files[MODEL])).eval()
            preprocessing = Preprocessing.from_state(
                recipe.preprocessing, document.preprocessing, files[PREPROCESSING].arrays()
            )
            calibration = Calibration.from_state(document.calibration, files[CALIBRATION].arrays())
            companions = Companions.from_state(
                document.companions, read_tensors(files[COMPANIONS]), detector.channels, size
            )
            calibration.require_parts(document.parts)
            calibration.require_size(recipe.preprocessing.size)
        except (
            UserError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RuntimeError,
            IndexError,
            OverflowError,
        ) as error:
            reason = why_unreadable(document.versions)
            raise DataError(f"{path}: does not fit together ({one_line(error)}); {reason}") from error
        log_event("bundle read", digest=digest, detector=recipe.detector["name"], device=device)
        return cls(
            recipe=recipe,
            preprocessing=preprocessing,
            detector=detector.to(device),
            parts=document.parts,
            calibration=calibration,
            companions=companions.to(device),
            provenance=document.provenance,
            seen=seen,
            statements=document.statements,
            left_out=document.left_out,
            path=path,
            digest=digest,
            device=device,
        )
