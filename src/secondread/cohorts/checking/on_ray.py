"""Shards of a manifest looked through by the workers of a Ray cluster.

Needs the extra `ray` here and on every machine, and the images and the folder of what was seen under the same
paths everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from secondread.clusters.handing_out import Lost, handed_out, joined_workers
from secondread.clusters.machines import RETRIES, go_to
from secondread.cohorts.checking.in_shards import How, Looking, looking_by, see_shard
from secondread.cohorts.shards import Outcome, Shard
from secondread.errors import UserError


@dataclass(frozen=True)
class OnRay:
    """address  of a cluster (`auto`, `HOST:6379`), or `local`: start Ray on this machine
    sees     files that every machine has to see, such as the first image
    cores    that a `local` Ray may use; none = all that this process may use

    A worker takes one core. A shard whose worker is killed is begun again by Ray, on any machine. On Ctrl-C
    and SIGTERM KeyboardInterrupt is raised. Raises UserError where Ray is missing or cannot be reached, or
    where a machine does not see what it needs.
    """

    address: str
    sees: Sequence[str] = ()
    cores: int | None = None

    def __call__(self, shards: Iterator[Shard], how: How) -> Iterator[Outcome]:
        with joined_workers(self.address, how.folder, self.sees, cores=self.cores) as (ray, stop):
            do = ray.remote(max_retries=RETRIES, num_cpus=1)(_do)

            def begin(shard: Shard) -> Any:
                return do.remote(shard, how, os.getcwd())

            for found in handed_out(ray, begin, shards, stop):
                yield Outcome(found.number, lost=found.why) if isinstance(found, Lost) else found


_kept: dict[How, Looking | None] = {}
"""In a worker: the processes that decode for it."""


def _do(shard: Shard, how: How, folder: str) -> Outcome:
    """In a worker: one shard, with the processes that earlier ones have started."""
    go_to(folder)
    if how not in _kept:
        for looking in _kept.values():
            if looking is not None:
                looking.close()
        _kept.clear()
        _kept[how] = looking_by(how)
    try:
        return see_shard(shard, how, _kept[how])
    except UserError as error:
        return Outcome(shard.number, problem=str(error))
