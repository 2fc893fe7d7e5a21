"""What a backup holds, and whether it still does.

manifest.json    what it is of, and when it was made; the SHA-256 of the next
SHA256SUMS       a line for each other file, which `sha256sum --check` reads as well
service.sqlite   the database; of PostgreSQL `database.dump`, in the custom format of pg_dump
drift.json       what is known of drift by then, where it is watched
instances/, readings/   as in the spool, where they were asked for
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from secondread.errors import DataError, UserError
from secondread.settings.base import Settings
from secondread.version import of_newer

NAME, SUMS = "manifest.json", "SHA256SUMS"
FORMAT = 1
_LINE = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<path>[^/\\\n][^\\\n]*)")
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(Settings):
    """revision  of the tables
    instances    rows of instances whose file the service has
    spool        whether files of the spool are here as well
    missing      of them, how many were not in the spool when they were copied
    damaged      of them, how many were not what their row says
    audit_head   the audit's last chain: `secondread service audit --verify --head` asks for it later
    sums         SHA-256 of the file SHA256SUMS
    """

    format: int
    secondread: str
    made: datetime
    database: Literal["sqlite", "postgresql"]
    revision: str
    studies: int
    instances: int
    spool: bool
    missing: int = 0
    damaged: int = 0
    audit_head: str = ""
    sums: Digest


def write_sums(folder: Path, digests: Mapping[str, str]) -> str:
    """Write SHA256SUMS; its own SHA-256."""
    data = "".join(f"{digest}  {path}\n" for path, digest in sorted(digests.items())).encode()
    (folder / SUMS).write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Raises UserError where the folder is no backup, DataError where its manifest cannot be understood."""
    file = folder / NAME
    try:
        found = Manifest.model_validate_json(file.read_bytes())
    except OSError as error:
        raise UserError(
            f"{folder}: is no backup of a service ({NAME}: {error.strerror}); name a folder that `secondread "
            "service backup` wrote"
        ) from None
    except ValidationError:
        raise DataError(f"{file}: is no manifest of a backup; take another backup") from None
    if found.format > FORMAT:
        raise DataError(f"{file}: {of_newer(found.secondread)}")
    return found if found.made.tzinfo else found.model_copy(update={"made": found.made.replace(tzinfo=UTC)})


def verify(folder: Path) -> tuple[Manifest, dict[str, str]]:
    """The manifest, and the files with their SHA-256, each of which was read and compared.

    Raises DataError, which names the first file that is not as it was written.
    """
    manifest = read_manifest(folder)
    try:
        data = (folder / SUMS).read_bytes()
    except OSError as error:
        raise DataError(f"{folder / SUMS}: cannot be read ({error.strerror}); take another backup") from None
    if hashlib.sha256(data).hexdigest() != manifest.sums:
        raise DataError(f"{folder / SUMS}: is not as it was written; take another backup")
    digests: dict[str, str] = {}
    for line in data.decode().split("\n")[:-1]:
        found = _LINE.fullmatch(line)
        if found is None or ".." in Path(found["path"]).parts:
            raise DataError(f"{folder / SUMS}: names a file that no backup holds; take another backup")
        digests[found["path"]] = found["digest"]
    for path, digest in digests.items():
        try:
            same = digest_of(folder / path) == digest
        except OSError as error:
            raise DataError(
                f"{folder / path}: cannot be read ({error.strerror}); take another backup"
            ) from None
        if not same:
            raise DataError(f"{folder / path}: is not as it was written; take another backup")
    return manifest, digests


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
