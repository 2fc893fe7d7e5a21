"""What was seen of each shard of a manifest, in a file of its own, so that a later run need not look again.

A file is there whole or not at all: a line that says which rows it is about, and then, compressed, a line for
each row. Two workers at one shard write the same, and the last one's stays.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.cohorts.checking.inspection import Inspection
from secondread.cohorts.shards import Shard
from secondread.images.image import ImageError
from secondread.outputs.whole import write_whole
from secondread.version import __version__

Seen = Inspection | ImageError


@dataclass(frozen=True)
class KeptShard:
    """The file of one shard in a folder of them."""

    folder: Path
    shard: Shard

    @property
    def path(self) -> Path:
        return self.folder / f"{self.shard.name}.seen"

    def done(self) -> bool:
        """Whether all rows, as they are now, were looked at and each could be read."""
        try:
            with self.path.open("rb") as file:
                return self._is_ours(file.readline()) == 0
        except OSError:
            return False

    def read(self) -> list[Seen] | None:
        """What was seen of each row; None where that is of other rows, missing or damaged."""
        try:
            head, _, body = self.path.read_bytes().partition(b"\n")
            if self._is_ours(head) is None:
                return None
            lines = gzip.decompress(body).splitlines()
            found = [
                _seen(row.path, json.loads(line)) for row, line in zip(self.shard.rows, lines, strict=True)
            ]
        except (OSError, EOFError, ValueError, TypeError, KeyError, zlib.error):
            return None
        return found

    def write(self, seen: list[Seen]) -> None:
        """Raises UserError where the disk is full."""
        unread = sum(isinstance(one, ImageError) for one in seen)
        head = {"rows": self.shard.manifest.digest, "version": __version__, "unread": unread}
        body = "\n".join(map(_line, seen)).encode()
        write_whole(self.path, json.dumps(head).encode() + b"\n" + gzip.compress(body, 1, mtime=0))

    def _is_ours(self, head: bytes) -> int | None:
        """How many of the rows could not be read; None where the file is about others."""
        try:
            said = json.loads(head)
            ours = (said["rows"], said["version"]) == (self.shard.manifest.digest, __version__)
            return int(said["unread"]) if ours else None
        except (ValueError, TypeError, KeyError):
            return None


def _line(seen: Seen) -> str:
    if isinstance(seen, ImageError):
        return json.dumps({"problem": seen.problem, "advice": seen.advice})
    return json.dumps(vars(seen))


def _seen(path: str, told: dict[str, Any]) -> Seen:
    if "problem" in told:
        return ImageError(path, told["problem"], told["advice"])
    return Inspection(**told | {"size": tuple(told["size"]), "remarks": tuple(told["remarks"])})
