"""An archive's manifest cut into shards, each of which is read and kept in a folder of its own.

A shard is a run of consecutive rows, so that shards are the same whenever the manifest is; rows of one
patient, study or file that follow one another stay in one shard. `shards/000017/` holds what a folder of
readings holds, but for the record of the whole, and `shard.json` once all its rows are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.manifest_file import ManifestFile
from secondread.cohorts.row import Row, patient_of
from secondread.outputs.whole import write_whole
from secondread.readings.table_reader import SHARDS

DONE = "shard.json"
_LONGEST = 8
"""How many times its usual length a shard may have for the sake of one patient."""


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


@dataclass(frozen=True)
class Shard:
    """Consecutive rows of a manifest, and the folder that their paths are relative to."""

    number: int
    rows: tuple[Row, ...]
    base: Path

    @property
    def manifest(self) -> Manifest:
        return Manifest(self.rows, self.base)

    def folder(self, out: Path) -> Path:
        return shard_folder(out, self.number)

    def done(self, out: Path, bundle: str, *, maps: bool) -> Done | None:
        """What is known of it where nothing is left to do: all its rows, as they are now, were read by this
        bundle and each gave a score. Whether a file has changed since is not looked at."""
        found = Done.read(self.folder(out))
        if found is None or found.failed or found.bundle != bundle or (maps and not found.maps):
            return None
        return found if found.rows == self.manifest.digest else None


def shard_folder(out: Path, number: int) -> Path:
    return out / SHARDS / f"{number:06d}"


def shards_of(manifest: ManifestFile, rows_per_shard: int) -> Iterator[Shard]:
    """The shards, one after the other; one is held at a time."""
    base = manifest.base
    for number, rows in enumerate(_cut(manifest.rows(), rows_per_shard)):
        yield Shard(number, rows, base)


def _cut(rows: Iterable[Row], size: int) -> Iterator[tuple[Row, ...]]:
    group: list[Row] = []
    for row in rows:
        if len(group) >= size and (len(group) >= _LONGEST * size or patient_of(row) != patient_of(group[-1])):
            yield tuple(group)
            group = []
        group.append(row)
    if group:
        yield tuple(group)
