"""`secondread score --ray` over an archive of small images, which goes on where it was stopped.

Makes what is missing of IMAGES small pictures (96×96, in folders of a thousand, two of them a study), a
manifest in Parquet and a bundle of the cheap detector `spectrum`, then scores them and prints what it took.
The same command goes on: pictures, shards and readings that are there stay.

    python benchmarks/machines/archive.py FOLDER --images 100000 --ray local
    python benchmarks/machines/archive.py FOLDER --images 2000            # shards in this process

Time is the processor's, of this process and its children that have ended; Ray's workers are no children of
it, so that their time is that of their processes, asked for while they live.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from small_pictures import SIDE, pictures

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest_file import ManifestFile, Overview
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.cohorts.shards import Shard
from secondread.fitting.fit import fit
from secondread.readings.archive.here import Here
from secondread.readings.archive.on_ray import OnRay
from secondread.readings.archive.score_archive import Execute, score_archive
from secondread.readings.archive.score_shard import How, Outcome
from secondread.recipes.recipe import Recipe
from secondread.scoring.bf16_speed import processor_name

RECIPE = {
    "preprocessing": {"size": [64, 64]},
    "detector": {"name": "spectrum", "bands": 8},
    "cohorts": {"validation": 0.2, "calibration": 0.3},
}


def bundle_in(folder: Path) -> Bundle:
    if not (folder / "bundle").is_dir():
        phantoms = make_phantoms(folder / "phantoms", seed=0, n_normal=60, n_abnormal=4, size=(SIDE, SIDE))
        fit(Recipe.from_mapping(RECIPE), phantoms, folder / "bundle", workers=0, progress=False)
    return Bundle.load(folder / "bundle", device="cpu")


class Timed:
    """An executor whose time, and that of Ray's workers, is asked for after each shard."""

    def __init__(self, execute: Execute) -> None:
        self.execute = execute
        self.workers: dict[int, float] = {}
        self.images, self.peak = 0, 0.0

    def __call__(self, shards: Iterator[Shard], how: How) -> Iterator[Outcome]:
        for outcome in self.execute(shards, how):
            self.look()
            self.images += outcome.images
            yield outcome

    def look(self) -> None:
        for process in psutil.Process().children(recursive=True):
            try:
                spent = process.cpu_times()
                self.workers[process.pid] = spent.user + spent.system
            except psutil.Error:
                continue
        self.peak = max(self.peak, psutil.Process().memory_info().rss / 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--ray", help="address of a cluster, or local; none = this process")
    parser.add_argument("--shard-rows", type=int, default=None)
    parser.add_argument("--workers", type=int, default=1, help="processes that decode, for each worker")
    asked = parser.parse_args()
    folder = asked.folder.absolute()
    bundle, manifest = bundle_in(folder), ManifestFile(pictures(folder, asked.images))
    timed: list[Timed] = []

    def execute(seen: Overview) -> Execute:
        inside = (
            Here(bundle) if asked.ray is None else OnRay(asked.ray, folder / "bundle", bundle.digest, cores=2)
        )
        timed.append(Timed(inside))
        marks["looked"] = time.process_time()
        return timed[0]

    begun, wall = time.process_time(), time.monotonic()
    marks: dict[str, float] = {}
    out = folder / f"readings-{asked.images}-{'here' if asked.ray is None else 'ray'}"
    summary = score_archive(
        bundle, manifest, How(out, workers=asked.workers), execute, rows_per_shard=asked.shard_rows
    )
    ended = time.process_time()
    children = os.times()
    written = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    told = {
        "processor": processor_name(),
        "images": asked.images,
        "read now": timed[0].images,
        "scored before": summary.earlier,
        "failed": len(summary.failed),
        "driver, look through the manifest, ms an image": 1e3 * (marks["looked"] - begun) / asked.images,
        "driver, rest, ms an image": 1e3 * (ended - marks["looked"]) / asked.images,
        "workers, ms of processor time an image": 1e3
        * max(sum(timed[0].workers.values()), children.children_user + children.children_system)
        / max(1, timed[0].images),
        "driver, peak memory, MiB": timed[0].peak,
        "written, bytes an image": written / asked.images,
        "wall seconds, beside whatever else ran": time.monotonic() - wall,
    }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
