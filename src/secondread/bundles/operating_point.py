"""Another false-alarm rate for a fitted model, from the calibration scores that its bundle holds: no image is
read, no detector is built and no torch is imported."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from secondread.bundles.bundle_document import CALIBRATION, FORMAT, NEEDS, BundleDocument
from secondread.bundles.declared import DeclaredFile, TensorFile
from secondread.bundles.facts import Facts
from secondread.bundles.model_card import model_card, write_card
from secondread.bundles.other_version import why_unreadable
from secondread.bundles.read_document import one_line, read_document
from secondread.calibration.calibration import Calibration
from secondread.errors import DataError, UserError
from secondread.outputs.folders import output_bundle
from secondread.outputs.run_record import now
from secondread.outputs.whole import whole_folder
from secondread.strict.plain_file import Unfit, open_plain
from secondread.version import __version__

_CHUNK = 1 << 20


@dataclass(frozen=True)
class OperatingPoint:
    """A bundle as far as it decides: its document and its calibration. The model stays on the disk.

    folder  where its files lie
    """

    folder: Path
    document: BundleDocument
    digest: str
    calibration: Calibration

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Of the bundle in a folder. Raises UserError and DataError as `Bundle.load`."""
        document, digest = read_document(folder)
        arrays = TensorFile.open(folder / CALIBRATION, document.files[CALIBRATION]).arrays()
        try:
            calibration = Calibration.from_state(document.calibration, arrays)
            calibration.require_parts(document.parts)
        except (ValueError, KeyError, TypeError) as error:
            reason = why_unreadable(document.versions)
            raise DataError(f"{folder}: does not fit together ({one_line(error)}); {reason}") from error
        return cls(folder, document, digest, calibration)

    @property
    def lineage(self) -> frozenset[str]:
        """The digests of this bundle and of those that it was made from: all hold one model."""
        made_from = self.document.made_from
        return lineage_of(self.digest, self.document.provenance.recalibrated) | {*made_from}

    def at(self, rate: float) -> Self:
        """The same at another false-alarm rate. UserError for one that is none."""
        if not 0 < rate < 1:
            raise UserError(f"a false-alarm rate of {rate} is not between 0 and 1")
        return replace(self, calibration=self.calibration.at(rate))

    def save(self, out: Path) -> str:
        """Write the bundle with this rate to the new folder `out`, whole or not at all; its digest.

        Everything else is as it was; `provenance.recalibrated` says when and from which bundle. Where
        `out` is what this very call gave before, it stays. Raises UserError where it is something else, and
        where no normal has calibrated the bundle; DataError where a file is not the declared one.
        """
        if not self.calibration.decides:
            raise UserError(
                f"{self.folder}: no normal has calibrated it, so it holds no scores to choose a threshold "
                "from; `secondread calibrate` with normals comes first"
            )
        with output_bundle(out):
            if out.exists():
                return self._saved_before(out)
            with whole_folder(out) as folder:
                for name, declared in self.document.files.items():
                    _copy(self.folder / name, folder / name, declared)
                (folder / "bundle.json").write_bytes(self._renewed().text())
                facts = Facts.read(folder)
                write_card(folder, model_card(facts))
            return facts.digest

    @property
    def _done(self) -> dict[str, str]:
        """What `provenance.recalibrated` says, but for the time."""
        rate = repr(self.calibration.settings.false_alarm_rate)
        copies = {"made_from": ",".join(self.document.made_from)} if self.document.made_from else {}
        return {"from": self.digest, "false_alarm_rate": rate, **copies}

    def _renewed(self) -> BundleDocument:
        document, provenance = self.document, self.document.provenance
        rate = {"false_alarm_rate": self.calibration.settings.false_alarm_rate}
        recalibrated = (*provenance.recalibrated, {"time": now(), **self._done})
        return document.model_copy(
            update={
                "recipe": with_rate(document.recipe, "calibration", rate),
                "calibration": with_rate(document.calibration, "settings", rate),
                "companions": {
                    name: with_rate(state, "settings", rate) for name, state in document.companions.items()
                },
                "provenance": provenance.model_copy(update={"recalibrated": recalibrated}),
                "format": FORMAT,
                "written_by": __version__,
                "needs": NEEDS,
                "figures": None,  # they are of the former threshold
                "made_from": (),
            }
        )

    def _saved_before(self, out: Path) -> str:
        if (out / "bundle.json").is_file():
            document, digest = read_document(out)
            done = {**(document.provenance.recalibrated or ({},))[-1]}
            done.pop("time", None)
            if done == self._done:
                return digest
        raise UserError(
            f"{out}: there is something already, and a bundle is never changed; remove it or choose another "
            "place with -o"
        )


def lineage_of(digest: str | None, recalibrated: tuple[Mapping[str, str], ...]) -> frozenset[str]:
    """The digests by which bundles of one model know each other: a bundle's own, and those that it was made
    from."""
    copies = (name for done in recalibrated for name in done.get("made_from", "").split(","))
    return frozenset(filter(None, (digest, *copies, *(done.get("from") for done in recalibrated))))


def with_rate(document: Mapping[str, Any], section: str, rate: Mapping[str, float]) -> dict[str, Any]:
    """The document with a false-alarm rate in one of its sections."""
    return {**document, section: {**(document.get(section) or {}), **rate}}


def _copy(source: Path, target: Path, declared: DeclaredFile) -> None:
    """Copy a file of a bundle. Raises DataError where it is not the declared one."""
    digest = hashlib.sha256()
    with ExitStack() as opened:
        try:
            file = opened.enter_context(open_plain(source, links=False))
        except Unfit as error:
            raise DataError(f"{source}: {error}") from None
        except OSError as error:
            raise DataError(f"{source}: cannot be read ({error.strerror}); copy the bundle again") from None
        copy = opened.enter_context(target.open("xb"))
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    if digest.hexdigest() != declared.sha256:
        raise DataError(
            f"{source}: its SHA-256 is not the one in bundle.json; the bundle was changed or damaged, copy "
            "it again from its source"
        )
