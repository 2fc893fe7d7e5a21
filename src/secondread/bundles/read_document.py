"""`bundle.json`, read without trust."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pydantic import ValidationError

from secondread.bundles.bundle_document import FILES, BundleDocument
from secondread.bundles.declared import BUNDLE, read_declared
from secondread.bundles.other_version import CHANGED, versions_in, why_unreadable
from secondread.bundles.seen import Seen
from secondread.bundles.upgrades import upgraded
from secondread.errors import DataError, UserError
from secondread.strict.json_text import DOCUMENT, parse_json
from secondread.strict.limits import Limits
from secondread.strict.plain_file import Unfit, read_plain
from secondread.wording.near_names import near_names

EXPORTED = "export.json"
"""By which the folder of an exported bundle is told."""
SEEN = Limits(length=256 << 20, values=4_000_000, text=64)
"""Of `seen.json`: more than a million images, each with two digests and a patient."""


def expect_bundle(path: Path) -> None:
    """UserError where neither a bundle's folder nor a file, which may be an archive of one, is at `path`."""
    if not os.path.isfile(path):
        _expect_folder(path)


def _expect_folder(path: Path) -> None:
    if os.path.exists(path / BUNDLE):
        return
    if os.path.exists(path / EXPORTED):
        raise UserError(
            f"{path}: is an exported bundle, which `score` alone takes; give the bundle that it was made of"
        )
    if os.path.isdir(path):
        folder, near = path, _bundles_in(path)
        why = f"it has no {BUNDLE}" if os.access(path, os.R_OK | os.X_OK) else "it cannot be read"
    else:
        folder, near = path.parent, near_names(path.name, _bundles_in(path.parent))
        why = "there is no such folder"
    meant = " or ".join(str(folder / name) for name in near[:3])
    remedy = f"did you mean {meant}?" if near else "give the folder that `fit -o` wrote"
    raise UserError(f"{path}: no bundle here ({why}); {remedy}")


def _bundles_in(folder: Path) -> list[str]:
    """Names of the bundles and exported bundles in a folder; none of what cannot be looked at."""
    try:
        inside = [each.name for each in os.scandir(folder) if each.is_dir()]
    except OSError:
        return []
    files = (BUNDLE, EXPORTED)
    return sorted(name for name in inside if any(os.path.isfile(folder / name / file) for file in files))


def read_document(path: Path) -> tuple[BundleDocument, str]:
    """`bundle.json` of the folder `path`, of this format or an earlier one, checked against the schema, and
    its SHA-256."""
    _expect_folder(path)
    file = path / BUNDLE
    try:
        text = read_plain(file, DOCUMENT.length, links=False)
        said = parse_json(text, DOCUMENT)
        document = BundleDocument.model_validate(upgraded(said))
    except ValidationError as error:
        raise DataError(f"{file}: {first_problem(error)}; {why_unreadable(versions_in(said))}") from error
    except Unfit as error:
        raise DataError(f"{file}: {error}; {CHANGED}") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    for name in sorted(document.files.keys() ^ set(FILES)):
        problem = "is missing from its file list" if name in FILES else "does not belong in its file list"
        raise DataError(f"{file}: {name!r} {problem}; {why_unreadable(versions_in(said))}")
    return document, hashlib.sha256(text).hexdigest()


def read_seen(path: Path, document: BundleDocument) -> Seen:
    """`seen.json` of the folder `path`. DataError for a file that `bundle.json` does not declare, ValueError
    for one that holds something else."""
    text = read_declared(path / "seen.json", document.files["seen.json"])
    return Seen.model_validate(parse_json(text, SEEN))


def first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "the file"
    return f"{where}: {one_line(problem['msg'])}"


def one_line(error: object) -> str:
    """An error's message, with its type where the message alone says nothing, in one line."""
    text = " ".join(str(error).split())[:300]
    text = "".join(character if character.isprintable() else "?" for character in text)
    return f"{type(error).__name__}: {text}" if isinstance(error, KeyError) or not text else text
