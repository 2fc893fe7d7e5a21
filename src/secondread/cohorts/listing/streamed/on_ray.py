"""Headers read by the workers of a Ray cluster: this process walks, pairs and writes.

Needs the extra `ray` here and on every machine, and the files under the same paths everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.clusters.handing_out import Lost, handed_out, joined_workers
from secondread.clusters.machines import RETRIES, go_to
from secondread.cohorts.listing.streamed.reading import Piece, Read, read_by
from secondread.errors import DataError
from secondread.images.header import Header
from secondread.images.read_header import read_header
from secondread.images.workers.kept_workers import KeptWorkers


@dataclass(frozen=True)
class OnRay:
    """address  of a cluster (`auto`, `HOST:6379`), or `local`: start Ray on this machine
    base     the folder that paths are below
    folder   where the manifest will lie, and `sees`, such as the first file: what every machine has to see

    A worker takes one core and reads in a process of its own, as here. Files whose worker is killed are read
    again by another, up to three times. Raises UserError where Ray is missing or cannot be reached, or a
    machine does not see what it needs, and DataError where files have no result after all.
    """

    address: str
    base: Path
    folder: Path
    sees: Sequence[str] = ()
    cores: int | None = None

    def __call__(self, pieces: Iterator[Piece]) -> Iterator[Read]:
        with joined_workers(self.address, self.folder, self.sees, cores=self.cores) as (ray, stop):
            do = ray.remote(max_retries=RETRIES, num_cpus=1)(_do)

            def begin(piece: Piece) -> Any:
                return do.remote(self.base, piece, os.getcwd())

            for found in handed_out(ray, begin, pieces, stop):
                if isinstance(found, Lost):
                    raise DataError(
                        f"{self.base}: the headers of some files were not read, as their worker ended "
                        f"({found.why}); the same command reads them"
                    )
                yield found


_kept: list[KeptWorkers[str | Path, Header]] = []
"""In a worker: the process that reads for it."""


def _do(base: Path, piece: Piece, folder: str) -> Read:
    go_to(folder)
    if not _kept:
        _kept.append(KeptWorkers(read_header, workers=1))
    return read_by(_kept[0], base, piece)
