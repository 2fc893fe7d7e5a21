"""A manifest looked through shard by shard, here or on a cluster, so that a run that was stopped goes on.

What is held is a shard on each side; what was seen of each lies in a folder until all findings are written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.cohorts.checking.check import references
from secondread.cohorts.checking.inspection import Inspection, inspect
from secondread.cohorts.checking.kept_shards import KeptShard
from secondread.cohorts.checking.seen_table import SeenTable
from secondread.cohorts.manifest_file import ManifestFile, Overview
from secondread.cohorts.shards import ROWS_PER_SHARD, Outcome, Shard, shards_of
from secondread.errors import DataError, UserError
from secondread.images.workers.kept_workers import KeptWorkers
from secondread.images.workers.map_in_workers import map_in_workers
from secondread.images.workers.outcome import Failed
from secondread.outputs.folders import RECORD
from secondread.outputs.run_record import RunRecord
from secondread.wording.lists import few
from secondread.wording.numbers import count

Looking = KeptWorkers[tuple[str, str | None], Inspection]


@dataclass(frozen=True)
class How:
    """How shards are looked through, and in which folder what was seen of them is kept."""

    folder: Path
    workers: int = 1
    timeout_s: float = 60.0


Execute = Callable[[Iterator[Shard], How], Iterator[Outcome]]


def see_in_shards(
    table: SeenTable,
    manifest: ManifestFile,
    seen: Overview,
    how: How,
    execute: Execute,
    *,
    rows_per_shard: int | None = None,
    command: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Fill the table as `check.see` does. The same call goes on where one was stopped or killed: it passes
    over shards that were looked through, and tries again what could not be read.

    execute         what looks through shards, such as `here` or `OnRay`
    rows_per_shard  rows of the manifest in each shard; None = as before in this folder, or 1,000

    Raises UserError where the folder is about another manifest or other shards, and DataError where shards
    have no result, once all others have one.
    """
    size = _rows_per_shard(how.folder, manifest, rows_per_shard)
    asked = {"rows_per_shard": size, "where": list(manifest.where)}
    record = RunRecord("check", command)
    record.write(how.folder / RECORD, manifest=str(manifest.path.absolute()), archive=asked)
    done = 0

    def note(images: int) -> None:
        nonlocal done
        done += images
        if progress is not None:
            progress(done, seen.rows)

    def waiting() -> Iterator[Shard]:
        for shard in shards_of(manifest, size):
            if KeptShard(how.folder, shard).done():
                note(len(shard.rows))
            else:
                yield shard

    lost: list[str] = []
    for outcome in execute(waiting(), how):
        if outcome.problem:
            raise UserError(outcome.problem)
        if outcome.lost:
            lost.append(f"{outcome.number:06d} ({outcome.lost})")
        else:
            note(outcome.images)
    for shard in () if lost else shards_of(manifest, size):
        kept = KeptShard(how.folder, shard)
        found = kept.read()
        if found is None:
            kept.path.unlink(missing_ok=True)
            lost.append(f"{shard.name} (what was seen of it is gone or damaged)")
            continue
        for row, one in zip(shard.rows, found, strict=True):
            table.add(row, one)
    table.finish()
    if lost:
        raise DataError(
            f"{how.folder}: {count(len(lost), 'shard')} ended without a result, {few(lost)}; all others are "
            "looked through, and the same command tries these again"
        )


def here(shards: Iterator[Shard], how: How) -> Iterator[Outcome]:
    """Shards looked through one after the other by this process."""
    looking = looking_by(how)
    try:
        for shard in shards:
            yield see_shard(shard, how, looking)
    finally:
        if looking is not None:
            looking.close()


def looking_by(how: How) -> Looking | None:
    """Workers that decode and stay from one shard to the next; none where this process is to decode."""
    return KeptWorkers(inspect, workers=how.workers, timeout_s=how.timeout_s) if how.workers else None


def see_shard(shard: Shard, how: How, looking: Looking | None) -> Outcome:
    """Look at what is not known of a shard's rows; one that could not be read is tried again.

    Raises UserError where the folder cannot be written.
    """
    kept = KeptShard(how.folder, shard)
    seen: list[Any] = kept.read() or [None] * len(shard.rows)
    lacking = [place for place, one in enumerate(seen) if not isinstance(one, Inspection)]
    items = [references(shard.rows[place], shard.base) for place in lacking]
    results = map_in_workers(inspect, items, workers=0) if looking is None else looking.map(items)
    for place, result in zip(lacking, results, strict=True):
        seen[place] = result.error if isinstance(result, Failed) else result.value
    kept.write(seen)
    return Outcome(shard.number, len(shard.rows))


def _rows_per_shard(folder: Path, manifest: ManifestFile, asked: int | None) -> int:
    """How many rows a shard has. Raises UserError where the folder is about others."""
    try:
        before = json.loads((folder / RECORD).read_bytes())
        of, size, where = before["manifest"], before["archive"]["rows_per_shard"], before["archive"]["where"]
    except (OSError, ValueError, KeyError, TypeError):
        return asked or ROWS_PER_SHARD
    if (of, where) != (str(manifest.path.absolute()), list(manifest.where)):
        raise UserError(
            f"{folder}: holds what was seen of another manifest, or of other rows of it "
            f"({' --where '.join((of, *where))}); remove it, or choose another -o"
        )
    if asked not in (None, size):
        raise UserError(f"{folder}: is cut into shards of {size} rows; leave --shard-rows out, or remove it")
    return int(size)
