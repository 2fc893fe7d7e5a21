"""Reading a manifest for a command: what a person should know of its columns is said first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.terminal.events import log_event
from secondread.terminal.say import say

if TYPE_CHECKING:
    from secondread.cohorts.manifest import Manifest
    from secondread.cohorts.manifest_file import ManifestFile, Overview


def read_manifest(path: Path, where: Sequence[str] | None = None, *, quiet: bool) -> Manifest:
    """The rows that meet the filters; notes on the columns go to stderr."""
    from secondread.cohorts.manifest import Manifest

    manifest = Manifest.read(path)
    _tell(len(manifest.rows), manifest.digest, manifest.notes, quiet=quiet)
    return manifest.where(*where or ())


def stream_manifest(
    path: Path, where: Sequence[str] | None = None, *, quiet: bool
) -> tuple[ManifestFile, Overview]:
    """As `read_manifest`, of rows that stay in their file."""
    from secondread.cohorts.manifest_file import ManifestFile

    manifest = ManifestFile(path, tuple(where or ()))
    seen = manifest.looked_through()
    _tell(seen.rows, seen.digest, seen.notes, quiet=quiet)
    return manifest, seen


def _tell(rows: int, digest: str, notes: Sequence[str], *, quiet: bool) -> None:
    log_event("manifest read", rows=rows, digest=digest)
    if not quiet:
        for note in notes:
            say(f"note: {note}")
