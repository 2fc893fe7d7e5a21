"""An archive scored: its manifest stays in its file and is read shard by shard, here or on a cluster.

What is held at once is a shard, on each side; of the whole, eight bytes an image while the manifest is looked
through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from secondread.bundles.fitted_model import FittedModel
from secondread.cohorts.manifest_file import ManifestFile, Overview
from secondread.cohorts.shards import ROWS_PER_SHARD, Shard, shards_of
from secondread.errors import DataError, UserError
from secondread.outputs.folders import RECORD, output_folder
from secondread.outputs.run_record import RunRecord
from secondread.readings.archive.gathering import gather_shards
from secondread.readings.archive.score_shard import How, Outcome
from secondread.readings.archive.shards import done as done_before
from secondread.readings.folder_state import earlier_run, record_of
from secondread.readings.inputs import Inputs
from secondread.readings.score_into import ScoreSummary, no_maps
from secondread.readings.table_reader import SHARDS
from secondread.readings.table_writer import READINGS
from secondread.wording.lists import few
from secondread.wording.numbers import count

Execute = Callable[[Iterator[Shard], How], Iterator[Outcome]]


def score_archive(
    bundle: FittedModel,
    manifest: ManifestFile,
    how: How,
    execute: Callable[[Overview], Execute],
    *,
    rows_per_shard: int | None = None,
    command: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> ScoreSummary:
    """Score a manifest's images into the folder `how.out`; the same call goes on where one was stopped or
    killed, and reads no image twice.

    execute         what reads shards, such as `Here` or `OnRay`, made once the manifest is known to be right
    rows_per_shard  rows of the manifest in each shard; None = as before in this folder, or 1,000
    progress        called with images done and images in all

    A shard that was read by this bundle without an error, of the same rows, is not looked at again, though a
    file may have changed since. Raises UserError as `score_into` does, and for a folder of other rows or of
    no shards; DataError where shards have no result, once all others are read.
    """
    out = how.out
    how = replace(how, maps=how.maps and not no_maps(bundle))
    with output_folder(out, "score"):
        seen = manifest.looked_through()
        size = _rows_per_shard(out, bundle, manifest, rows_per_shard)
        inputs = Inputs((), str(manifest.path.absolute()), seen.digest, str(manifest.base), notes=seen.notes)
        told = record_of(bundle, inputs, earlier_run(out)).model_dump(
            mode="json", exclude={"command", "started", "versions"}
        )
        told["archive"] = {"rows_per_shard": size, "where": list(manifest.where)}
        record = RunRecord("score", command)
        record.write(out / RECORD, **told)
        done = scored = 0
        lost: list[str] = []

        def waiting() -> Iterator[Shard]:
            nonlocal done
            for shard in shards_of(manifest, size):
                if (found := done_before(shard, out, bundle.digest, maps=how.maps)) is None:
                    yield shard
                else:
                    done += found.images
                    if progress is not None:
                        progress(done, seen.rows)

        for outcome in execute(seen)(waiting(), how):
            if outcome.problem:
                raise UserError(outcome.problem)
            if outcome.lost:
                lost.append(f"{SHARDS}/{outcome.number:06d} ({outcome.lost})")
                continue
            done += outcome.images
            scored += outcome.scored
            if progress is not None:
                progress(done, seen.rows)
        if lost:
            raise DataError(
                f"{out}: {count(len(lost), 'shard')} ended without a result, {few(lost)}; all others are "
                "read, and the same command tries these again"
            )
        found = gather_shards(out, shards_of(manifest, size), bundle, seen.rows)
        record.write(
            out / RECORD,
            finished=True,
            images=found.images,
            failed=len(found.failed),
            notes=list(seen.notes),
        )
    before = found.images - len(found.failed) - scored
    return ScoreSummary(
        out / READINGS, scored, before, found.failed, found.flagged, (), seen.notes, found.highest
    )


def _rows_per_shard(out: Path, bundle: FittedModel, manifest: ManifestFile, asked: int | None) -> int:
    """How many rows a shard has. Raises UserError where the folder holds other readings."""
    earlier = earlier_run(out)
    if earlier is None or earlier.archive is None:
        if (out / READINGS).is_file():
            raise UserError(f"{out}: holds readings that are not in shards; choose another folder with -o")
        return asked or ROWS_PER_SHARD
    before = earlier.archive
    if earlier.digests.bundle != bundle.digest:
        raise UserError(f"{out}: holds readings of another bundle; choose another folder with -o")
    if earlier.manifest != str(manifest.path.absolute()) or before.where != manifest.where:
        asked_for = " --where ".join((str(earlier.manifest), *before.where))
        raise UserError(
            f"{out}: holds readings of another manifest, or of other rows of it ({asked_for}); choose "
            "another folder with -o"
        )
    if asked not in (None, before.rows_per_shard):
        raise UserError(
            f"{out}: is cut into shards of {before.rows_per_shard} rows; leave --shard-rows out, or choose "
            "another folder with -o"
        )
    return before.rows_per_shard
