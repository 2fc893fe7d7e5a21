"""A manifest cut into shards, runs of consecutive rows, of which one is held at a time.

Shards are the same whenever the manifest is; rows of one patient, study or file that follow one another stay
in one shard.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.manifest_file import ManifestFile
from secondread.cohorts.row import Row, patient_of

ROWS_PER_SHARD = 1000
_LONGEST = 8
"""How many times its usual length a shard may have for the sake of one patient."""


@dataclass(frozen=True)
class Shard:
    """Consecutive rows of a manifest, and the folder that their paths are relative to."""

    number: int
    rows: tuple[Row, ...]
    base: Path

    @property
    def name(self) -> str:
        return f"{self.number:06d}"

    @property
    def manifest(self) -> Manifest:
        return Manifest(self.rows, self.base)


@dataclass(frozen=True)
class Outcome:
    """What became of a shard. `problem` says why it is not done, as a person should read it, where the whole
    run has to stop for that; `lost` why its worker ended without a result."""

    number: int
    images: int = 0
    problem: str = ""
    lost: str = ""


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
