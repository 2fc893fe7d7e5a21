"""What there is to know of a bundle before it is used: what it is, holds, promises and needs. No torch
here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from secondread.bundles.bundle_document import CALIBRATION, BundleDocument, Kept
from secondread.bundles.declared import TensorFile
from secondread.bundles.other_version import why_unreadable
from secondread.bundles.read_document import one_line, read_document, read_seen
from secondread.bundles.seen import Seen
from secondread.calibration.calibration import Calibration
from secondread.calibration.description import describe
from secondread.errors import DataError
from secondread.recipes.packages_needed import packages_needed


@dataclass(frozen=True)
class Facts:
    """calibration: as `calibration.description.describe` says it. images, patients: how many digests and
    hashes of them it holds."""

    document: BundleDocument
    digest: str
    calibration: Mapping[str, Any]
    images: int
    patients: int

    @classmethod
    def of(cls, document: BundleDocument, digest: str, calibration: Calibration, seen: Seen) -> Self:
        images, patients = (
            len({one for found in table.values() for one in found}) for table in (seen.images, seen.patients)
        )
        return cls(document, digest, describe(calibration), images, patients)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Of the bundle in a folder; its model is not read, and no code that it names is imported. Raises
        UserError and DataError as `Bundle.load`."""
        document, digest = read_document(folder)
        arrays = TensorFile.open(folder / CALIBRATION, document.files[CALIBRATION]).arrays()
        try:
            seen = read_seen(folder, document)
            calibration = Calibration.from_state(document.calibration, arrays)
        except (ValueError, KeyError, TypeError) as error:
            reason = why_unreadable(document.versions)
            raise DataError(f"{folder}: does not fit together ({one_line(error)}); {reason}") from error
        return cls.of(document, digest, calibration, seen)

    @property
    def title(self) -> str:
        return " ".join(str(self.about.get("title") or "A secondread bundle").split())

    @property
    def about(self) -> Mapping[str, Any]:
        return _mapping(self.document.recipe.get("about"))

    @property
    def detector(self) -> Mapping[str, Any]:
        return _mapping(self.document.recipe.get("detector"))

    @property
    def size(self) -> tuple[int, ...]:
        """Of the prepared images."""
        size = _mapping(self.document.recipe.get("preprocessing")).get("size")
        return tuple(size) if isinstance(size, list | tuple) else ()

    @property
    def files(self) -> int:
        """How many files one image is made of: its sequences or views."""
        files = _mapping(self.document.recipe.get("preprocessing")).get("files")
        return files if isinstance(files, int) else 1

    @property
    def bytes(self) -> int:
        return sum(declared.bytes for declared in self.document.files.values())

    @property
    def packages(self) -> list[str]:
        """Beyond the plain installation, that it runs with."""
        return packages_needed(self.detector)

    @property
    def keeps(self) -> tuple[Kept, ...]:
        return self.document.keeps


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
