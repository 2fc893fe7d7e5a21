"""Why a bundle cannot be read here: it is of a newer version, of a package that is missing, or changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondread.bundles.bundle_document import FORMAT, BundleDocument
from secondread.detectors import DETECTORS
from secondread.errors import DataError
from secondread.registry.outside import is_place
from secondread.version import __version__

CHANGED = "the bundle was changed or damaged"


def why_unreadable(said: Mapping[str, Any]) -> str:
    """The reason, with the remedy where there is one, to stand after what is wrong.

    said  format and `secondread`, the version, as the bundle has them; whatever they are

    >>> why_unreadable({"format": 99, "secondread": "9.1.0"})[:48]
    'it was made by secondread 9.1.0, and this is 0.1'
    """
    form, made_by = said.get("format"), said.get("secondread")
    if not isinstance(made_by, str) or not re.fullmatch(r"\d[\w.+!-]{0,40}", made_by):
        made_by = ""
    newer = bool(made_by) and _numbers(made_by) > _numbers(__version__)
    later = isinstance(form, int) and not isinstance(form, bool) and form > FORMAT
    if not newer and not later:
        return CHANGED
    maker = f"secondread {made_by}" if newer else "a newer version of secondread"
    return f"it was made by {maker}, and this is {__version__}; install {maker} or later to read it"


def versions_in(document: Any) -> dict[str, Any]:
    """What `bundle.json` says of its format and its maker, of which nothing is believed."""
    if not isinstance(document, dict):
        return {}
    provenance = document.get("provenance")
    versions = provenance.get("versions") if isinstance(provenance, dict) else None
    maker = versions.get("secondread") if isinstance(versions, dict) else None
    return {"format": document.get("format"), "secondread": maker}


def refuse_unknown_detector(path: Path, document: BundleDocument) -> None:
    """DataError where the recipe's detector is neither of this version nor of an installed package, and the
    bundle does not say of which package it was."""
    detector = document.recipe.get("detector")
    name = detector.get("name") if isinstance(detector, dict) else None
    known = {*DETECTORS.built_in, *DETECTORS.offered}
    if not isinstance(name, str) or name in known or is_place(name):
        return
    reason = why_unreadable(document.versions)
    if reason == CHANGED:
        reason = "install the package that offers it (entry point group secondread.detectors), or ask for "
        reason += "the package's name whoever made the bundle"
    raise DataError(f"{path}: its detector {name[:60]!r} is not known here; {reason}")


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, for comparing."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part[:9]) for part in found[0].split(".")) if found else ()
