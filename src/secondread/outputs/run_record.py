"""What a command did, written next to its output: command, versions, seed, digests, durations."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondread.outputs.whole import write_whole
from secondread.version import __version__

if TYPE_CHECKING:
    from importlib.metadata import Distribution

PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "pydicom",
    "nibabel",
    "pillow",
    "lightning-fabric",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on; a missing one is left out."""
    return dict(_versions())


@cache
def _versions() -> Mapping[str, str]:
    """Looked up once: a service writes a record for each study."""
    from importlib import metadata  # help pages need not wait for it

    found = {"python": platform.python_version(), "secondread": __version__}
    for package in PACKAGES:
        try:
            found[package] = _version(metadata.distribution(package))
        except metadata.PackageNotFoundError:
            continue
    return found


def _version(package: Distribution) -> str:
    """As `importlib.metadata.version` says it, which parses the whole description of the package for it."""
    for line in (package.read_text("METADATA") or "").splitlines():
        if not line:
            break
        if line.startswith("Version:"):
            return line.partition(":")[2].strip()
    return package.version


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class RunRecord:
    """Collects what a run did. `write` replaces the file whole, so a reader never sees half of it.

    made_by  the command, as `outputs` tells whose a folder is
    """

    def __init__(self, made_by: str, command: Sequence[str] = ()) -> None:
        self.facts: dict[str, Any] = {
            "made_by": made_by,
            "command": list(command),
            "versions": versions(),
            "started": now(),
        }
        self.begun = time.monotonic()

    def write(self, path: Path, **facts: Any) -> Path:
        """Write all facts so far, with these added and the seconds since the start."""
        self.facts |= facts
        durations = {**self.facts.get("durations", {}), "total": round(time.monotonic() - self.begun, 3)}
        text = json.dumps({**self.facts, "durations": durations}, indent=1, default=str)
        write_whole(path, text.encode())
        return path
