"""Where the readings of a manifest's shards lie, and which shards are read.

`shards/000017/` holds what a folder of readings holds, but for the record of the whole, and `shard.json` once
all rows of the shard are there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from secondread.cohorts.shards import Shard
from secondread.outputs.whole import write_whole
from secondread.readings.table_reader import SHARDS

DONE = "shard.json"


@dataclass(frozen=True)
class Done:
    """What is known of a shard whose rows are all there.

    rows    digest of the manifest's rows
    failed  images without a score
    """

    rows: str
    bundle: str
    maps: bool
    images: int
    failed: int

    @classmethod
    def read(cls, folder: Path) -> Done | None:
        """None where the shard is not finished, or says so in no way that can be read."""
        try:
            return cls(**json.loads((folder / DONE).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        write_whole(folder / DONE, json.dumps(asdict(self)).encode())


def shard_folder(out: Path, shard: Shard) -> Path:
    return out / SHARDS / shard.name


def done(shard: Shard, out: Path, bundle: str, *, maps: bool) -> Done | None:
    """What is known of a shard where nothing is left to do: all its rows, as they are now, were read by this
    bundle and each gave a score. Whether a file has changed since is not looked at."""
    found = Done.read(shard_folder(out, shard))
    if found is None or found.failed or found.bundle != bundle or (maps and not found.maps):
        return None
    return found if found.rows == shard.manifest.digest else None
