"""Reading a manifest for a command: what a person should know of its columns is said first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.terminal.events import log_event
from secondread.terminal.say import say

if TYPE_CHECKING:
    from secondread.cohorts.manifest import Manifest


def read_manifest(path: Path, where: Sequence[str] | None = None, *, quiet: bool) -> Manifest:
    """The rows that meet the filters; notes on the columns go to stderr."""
    from secondread.cohorts.manifest import Manifest

    manifest = Manifest.read(path)
    log_event("manifest read", rows=len(manifest.rows), digest=manifest.digest)
    if not quiet:
        for note in manifest.notes:
            say(f"note: {note}")
    return manifest.where(*where or ())
