"""`check --ray` and `check --shard-rows`: one manifest, looked through shard by shard."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.cohorts.checking.in_shards import How, here, see_in_shards
from secondread.cohorts.checking.on_ray import OnRay
from secondread.images.several_files import files_of
from secondread.images.workers.cores import available_cores

if TYPE_CHECKING:
    from secondread.cohorts.checking.seen_table import SeenTable
    from secondread.cohorts.manifest_file import ManifestFile, Overview


def kept_beside(output: Path) -> Path:
    """The folder of what was seen, which is there until the table of findings is."""
    return output.with_name(f"{output.name}.seen").absolute()


def check_in_shards(
    table: SeenTable,
    manifest: ManifestFile,
    seen: Overview,
    folder: Path,
    *,
    workers: int | None,
    ray: str | None,
    rows_per_shard: int | None,
    progress: Callable[[int, int], None],
) -> None:
    """See `see_in_shards`."""
    looking = workers if workers is not None else 1 if ray is not None else available_cores()
    first = tuple(file for file in files_of(manifest.reference(seen.first)) if Path(file).exists())
    see_in_shards(
        table,
        manifest,
        seen,
        How(folder, looking),
        here if ray is None else OnRay(ray, first),
        rows_per_shard=rows_per_shard,
        command=sys.argv,
        progress=progress,
    )
