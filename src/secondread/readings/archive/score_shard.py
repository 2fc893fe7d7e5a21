"""One shard read: what is missing of its readings is added, and it is said to be done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from secondread.bundles.fitted_model import FittedModel
from secondread.cohorts import shards
from secondread.cohorts.shards import Shard
from secondread.outputs.lock import only_one
from secondread.outputs.whole import cannot_write, clear_leftovers
from secondread.readings.apart.judges import Judges
from secondread.readings.archive.shards import DONE, Done, shard_folder
from secondread.readings.inputs import of_manifest
from secondread.readings.pipeline import Prepare
from secondread.readings.score_into import Filling

WAIT_SECONDS = 120.0
"""How long a shard waits for a worker of a killed run that is still at work on it."""


@dataclass(frozen=True)
class How:
    """How shards are read, and where to. Workers decode, processes compute."""

    out: Path
    maps: bool = False
    workers: int = 1
    batch_size: int | None = None
    timeout_s: float = 60.0
    processes: int = 1


@dataclass(frozen=True)
class Outcome(shards.Outcome):
    """With how many images were read by this run."""

    scored: int = 0


def score_shard(
    bundle: FittedModel,
    shard: Shard,
    how: How,
    prepare: Prepare | None,
    judges: Judges | None = None,
) -> Outcome:
    """Read what the shard's folder lacks; a row with an error is tried again.

    prepare  prepares references, such as workers that are kept; None = in this process, without limits
    judges   processes that compute; None = this one

    Raises UserError where the folder cannot be written, or another run is at work in it.
    """
    folder = shard_folder(how.out, shard)
    inputs = of_manifest(shard.manifest)
    with only_one(folder, wait_seconds=WAIT_SECONDS):
        clear_leftovers(folder)
        filling = Filling(
            bundle=bundle, inputs=inputs, out=folder, maps=how.maps, workers=how.workers,
            batch_size=how.batch_size, cache=None, timeout_s=how.timeout_s, progress=None,
            prepare=prepare, judges=judges,
        )  # fmt: skip
        try:
            (folder / DONE).unlink(missing_ok=True)
            table = filling.table(known=False)
            asked, earlier = len(filling.items), sum(filling.done)
            scored = filling.fill(table)
            failed = asked - earlier - scored
            Done(str(inputs.manifest_digest), bundle.digest, how.maps, asked, failed).write(folder)
        except OSError as error:
            raise cannot_write(Path(error.filename or folder), error) from error
    return Outcome(shard.number, asked, scored=scored)
