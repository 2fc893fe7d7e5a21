"""Shards as tasks of a Ray cluster: one driver hands them out, many workers read them.

Needs the extra `ray` here and on every machine, and the folder of readings and the images under the same
paths everywhere. The bundle travels through Ray's object store.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.bundles.fitted_model import FittedModel
from secondread.clusters.handing_out import Lost, handed_out, joined_workers
from secondread.clusters.machines import RETRIES, go_to
from secondread.cohorts.shards import Shard
from secondread.errors import DataError, UserError
from secondread.preprocessing.kept_preparing import KeptPreparing
from secondread.readings.archive.here import preparing
from secondread.readings.archive.score_shard import How, Outcome, score_shard
from secondread.readings.archive.sent_bundle import SentBundle


@dataclass(frozen=True)
class OnRay:
    """address  of a cluster (`auto`, `HOST:6379`), or `local`: start Ray on this machine
    bundle   folder or archive of the bundle; `digest`, `device` and `allow` go with it
    sees     files that every machine has to see, such as the first image
    cores    that a `local` Ray may use; none = all that this process may use

    A worker takes one core, or one GPU beside it where the cluster has some and the device is not the CPU. A
    shard whose worker is killed is begun again by Ray, on any machine, and goes on where it was. On Ctrl-C
    and SIGTERM the workers write what they have read, then KeyboardInterrupt is raised. Raises UserError
    where Ray is missing or cannot be reached, or where a machine does not see what it needs.
    """

    address: str
    bundle: Path
    digest: str
    device: str = "cpu"
    allow: Sequence[str] = ()
    sees: Sequence[str] = ()
    cores: int | None = None

    def __call__(self, shards: Iterator[Shard], how: How) -> Iterator[Outcome]:
        packed = SentBundle.of(self.bundle, self.digest, self.device, self.allow)
        with joined_workers(self.address, how.out, self.sees, cores=self.cores, store=3 * packed.size) as (
            ray,
            stop,
        ):
            gpus = self.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0
            do = ray.remote(max_retries=RETRIES, num_cpus=1, num_gpus=1 if gpus else 0)(_do)
            sent = ray.put(packed)

            def begin(shard: Shard) -> Any:
                return do.remote(sent, shard, how, os.getcwd())

            for found in handed_out(ray, begin, shards, stop, "GPU" if gpus else "CPU"):
                yield Outcome(found.number, lost=found.why) if isinstance(found, Lost) else found


_kept: dict[tuple[str, How], tuple[FittedModel, KeptPreparing | None]] = {}
"""In a worker: the bundle that it has loaded, and the processes that decode for it."""


def _do(packed: SentBundle, shard: Shard, how: How, folder: str) -> Outcome:
    """In a worker: one shard, with the bundle that earlier ones have loaded."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    go_to(folder)
    with threadpool_limits(1):
        try:
            key = (packed.digest, how)
            if key not in _kept:
                for _, prepare in _kept.values():
                    if prepare is not None:
                        prepare.close()
                _kept.clear()
                bundle = packed.load()
                _kept[key] = (bundle, preparing(bundle, how))
            bundle, prepare = _kept[key]
            return score_shard(bundle, shard, how, prepare)
        except (UserError, DataError) as error:
            return Outcome(shard.number, problem=str(error))
