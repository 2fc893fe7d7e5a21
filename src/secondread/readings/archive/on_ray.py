"""Shards as tasks of a Ray cluster: one driver hands them out, many workers read them.

Needs the extra `ray` here and on every machine, and the folder of readings and the images under the same
paths everywhere. The bundle travels through Ray's object store.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from secondread.bundles.fitted_model import FittedModel
from secondread.clusters.joined import connected, import_ray
from secondread.clusters.machines import RETRIES, alive, go_to, refuse_too_small, refuse_unshared
from secondread.errors import DataError, UserError
from secondread.preprocessing.kept_preparing import KeptPreparing
from secondread.readings.archive.here import preparing
from secondread.readings.archive.score_shard import How, Outcome, score_shard
from secondread.readings.archive.sent_bundle import SentBundle
from secondread.readings.archive.shards import Shard
from secondread.terminal.interruption import StopRequest

LOOK_SECONDS = 0.5
PER_WORKER = 2
"""Shards handed out for each worker: the one that it reads, and the next."""


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
        ray = import_ray()
        packed = SentBundle.of(self.bundle, self.digest, self.device, self.allow)
        with connected(ray, self.address, self.cores, store=3 * packed.size), StopRequest() as stop:
            nodes = alive(ray)
            refuse_too_small(nodes, 1)
            refuse_unshared(ray, nodes, how.out, self.sees)
            gpus = self.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0
            do = ray.remote(max_retries=RETRIES, num_cpus=1, num_gpus=1 if gpus else 0)(_do)
            yield from _handed_out(ray, do, ray.put(packed), shards, how, stop, gpus=gpus)


def _handed_out(
    ray: Any, do: Any, packed: Any, shards: Iterator[Shard], how: How, stop: StopRequest, *, gpus: bool
) -> Iterator[Outcome]:
    calls: dict[Any, int] = {}
    told = False
    try:
        while True:
            if not stop.requested:
                # asked each time: a machine may join, or leave
                workers = int(ray.cluster_resources().get("GPU" if gpus else "CPU", 1)) or 1
                for shard in islice(shards, max(0, PER_WORKER * workers - len(calls))):
                    calls[do.remote(packed, shard, how, os.getcwd())] = shard.number
            elif not told:
                told = True
                _cancel(ray, calls)
            if not calls:
                return
            ended, _ = ray.wait(list(calls), timeout=LOOK_SECONDS)
            for call in ended:
                outcome = _outcome_of(ray, call, calls.pop(call))
                if not told:
                    yield outcome
    finally:
        _cancel(ray, calls)


def _cancel(ray: Any, calls: dict[Any, int]) -> None:
    for call in calls:
        ray.cancel(call, force=False)


def _outcome_of(ray: Any, call: Any, number: int) -> Outcome:
    try:
        found: Outcome = ray.get(call)
        return found
    except Exception as error:
        last = (str(error).strip().splitlines() or [""])[-1]
        return Outcome(number, lost=f"{type(error).__name__}: {last}")


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
