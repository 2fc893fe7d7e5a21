"""Shards read one after the other on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from secondread.bundles.fitted_model import FittedModel
from secondread.cohorts.shards import Shard
from secondread.preprocessing.kept_preparing import KeptPreparing
from secondread.readings.apart.judges import judging
from secondread.readings.archive.score_shard import How, Outcome, score_shard


@dataclass(frozen=True)
class Here:
    """With a bundle that is loaded."""

    bundle: FittedModel

    def __call__(self, shards: Iterator[Shard], how: How) -> Iterator[Outcome]:
        prepare = preparing(self.bundle, how)
        try:
            with judging(self.bundle, how.processes) as judges:
                for shard in shards:
                    yield score_shard(self.bundle, shard, how, prepare, judges)
        finally:
            if prepare is not None:
                prepare.close()


def preparing(bundle: FittedModel, how: How) -> KeptPreparing | None:
    """Workers that decode and stay from one shard to the next; none where this process is to decode."""
    if how.workers == 0:
        return None
    return KeptPreparing(bundle.preprocessing, workers=how.workers, timeout_s=how.timeout_s)
