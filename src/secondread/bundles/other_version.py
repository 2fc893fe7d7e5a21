"""Why a bundle cannot be read here: it is of a newer version, of a package that is missing, or changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondread.bundles.bundle_document import FORMAT, BundleDocument
from secondread.detectors import DETECTORS
from secondread.errors import DataError
from secondread.registry.outside import is_place
from secondread.version import newer, of_newer

CHANGED = "the bundle was changed or damaged"


def why_unreadable(said: Mapping[str, Any]) -> str:
    """The reason, with the remedy where there is one, to stand after what is wrong.

    said  `format`, and the versions `written_by` and `needs`, as the bundle has them; whatever they are

    >>> why_unreadable({"format": 99, "written_by": "9.1.0", "needs": "8.0"})
    'it was made by secondread 9.1.0, and this is 0.2.0; install secondread 8.0 or later to read it'
    >>> why_unreadable({"format": 1, "written_by": "0.1.0"})
    'the bundle was changed or damaged'
    """
    form, maker, needed = said.get("format"), newer(said.get("written_by")), newer(said.get("needs"))
    later = type(form) is int and form > FORMAT
    return of_newer(maker, needed) if maker or later else CHANGED


def versions_in(document: Any) -> dict[str, Any]:
    """What `bundle.json` says of its format, its maker and its reader, of which nothing is believed."""
    if not isinstance(document, dict):
        return {}
    said = {name: document.get(name) for name in ("format", "written_by", "needs")}
    provenance = document.get("provenance")
    versions = provenance.get("versions") if isinstance(provenance, dict) else None
    if said["written_by"] is None and isinstance(versions, dict):
        said["written_by"] = versions.get("secondread")
    return said


def refuse_unknown_detector(path: Path, document: BundleDocument) -> None:
    """DataError where the recipe's detector is neither of this version nor of an installed package, and the
    bundle does not say of which package it was."""
    detector = document.recipe.get("detector")
    name = detector.get("name") if isinstance(detector, dict) else None
    if not isinstance(name, str) or name in DETECTORS.built_in or is_place(name) or name in DETECTORS.offered:
        return
    reason = why_unreadable(document.versions)
    if reason == CHANGED:
        reason = "install the package that offers it (entry point group secondread.detectors), or ask for "
        reason += "the package's name whoever made the bundle"
    raise DataError(f"{path}: its detector {name[:60]!r} is not known here; {reason}")
