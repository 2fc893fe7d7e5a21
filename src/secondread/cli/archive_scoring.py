"""`score --ray` and `score --shard-rows`: one manifest, read shard by shard."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondread.errors import UserError
from secondread.readings.archive.here import Here
from secondread.readings.archive.on_ray import OnRay
from secondread.readings.archive.score_archive import Execute, score_archive
from secondread.readings.archive.score_shard import How
from secondread.readings.inputs import is_table
from secondread.readings.pipeline import default_workers

if TYPE_CHECKING:
    from secondread.bundles.fitted_model import FittedModel
    from secondread.cohorts.manifest_file import Overview
    from secondread.readings.score_into import ScoreSummary


def score_in_shards(
    loaded: FittedModel,
    inputs: Sequence[str],
    output: Path,
    *,
    maps: bool,
    workers: int | None,
    batch_size: int | None,
    timeout_s: float,
    processes: int,
    ray: str | None,
    rows_per_shard: int | None,
    where: Sequence[str],
    bundle: Path,
    device: str,
    allow: Sequence[str],
    unfit: dict[str, Any],
    progress: Callable[[int, int], None],
) -> ScoreSummary:
    """See `score_archive`. `unfit` are options that do not go with it, by name, as they were given."""
    from secondread.cohorts.manifest_file import ManifestFile
    from secondread.images.several_files import files_of

    asked = "--shard-rows" if ray is None else "--ray"
    if ray is not None and processes > 1:
        raise UserError("--processes does not go with --ray, whose workers are processes; leave it out")
    if given := next((option for option, value in unfit.items() if value), None):
        raise UserError(
            f"{given} does not go with {asked}; leave it out (`secondread export` makes DICOM objects of the "
            "readings afterwards)"
        )
    if len(inputs) != 1 or not Path(inputs[0]).is_file() or not is_table(Path(inputs[0])):
        raise UserError(
            f"{asked} takes one manifest (CSV or Parquet); list the images of a folder first with "
            "`secondread index`"
        )
    manifest = ManifestFile(Path(inputs[0]), tuple(where))
    decoding = workers if workers is not None else 1 if ray is not None else default_workers()
    how = How(output.absolute(), maps, decoding, batch_size, timeout_s, processes)

    def execute(seen: Overview) -> Execute:
        if ray is None:
            return Here(loaded)
        first = [file for file in files_of(manifest.reference(seen.first)) if Path(file).exists()]
        return OnRay(
            ray, bundle.absolute(), loaded.digest, device=device, allow=tuple(allow), sees=tuple(first)
        )

    return score_archive(
        loaded,
        manifest,
        how,
        execute,
        rows_per_shard=rows_per_shard,
        command=sys.argv,
        progress=progress,
    )
