"""What a million or a hundred million studies cost on N machines, and what saturates first.

Each part's cost for one image is measured here, in processor time, on pictures and a bundle like the
reader's own, and put into a simulation of machines that share one disk:

- a **worker** takes the sum of decoding and computing for each image, on one core;
- the **disk** gives a rate of bytes and a number of files a second, to all machines together;
- the **driver** reads the manifest once to look through it, once to hand it out and once to gather, and
  writes the one table: that is one process, whatever the number of machines;
- **shards** fall on workers one after the other, so that the last ones leave some workers idle; a share of
  them is begun again, as if their worker had died half-way.

    python benchmarks/machines/archive_model.py                      # small films, `spectrum`
    python benchmarks/machines/archive_model.py --decode-ms 60 --encoder-ms 40 --file-mb 8

`--check MEASURED.json` takes what `benchmarks/machines/archive.py` printed and says what the model expects.
"""

from __future__ import annotations

import argparse
import heapq
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from archive import bundle_in
from small_pictures import pictures

from secondread.cohorts.manifest_file import ManifestFile
from secondread.cohorts.shards import shards_of
from secondread.images.read import read_image
from secondread.preprocessing.prepared import stack
from secondread.readings.archive.gathering import gather_shards
from secondread.readings.archive.here import Here
from secondread.readings.archive.score_archive import score_archive
from secondread.readings.archive.score_shard import How
from secondread.scoring.bf16_speed import processor_name

ROUNDS = 3


@dataclass(frozen=True)
class Cost:
    """Of one image: milliseconds of processor time of each part, and bytes read and written."""

    decode: float
    prepare: float
    score: float
    write: float
    look_through: float
    hand_out: float
    gather: float
    bytes_read: float
    bytes_written: float

    @property
    def worker(self) -> float:
        return self.decode + self.prepare + self.score + self.write

    @property
    def driver(self) -> float:
        return self.look_through + self.hand_out + self.gather


def least(work: Callable[[], object], images: int) -> float:
    """Milliseconds of processor time for each image, the least of some rounds."""
    found = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return 1e3 * min(found) / images


def measured(folder: Path, images: int) -> Cost:
    bundle, file = bundle_in(folder), ManifestFile(pictures(folder, images))
    shards = list(shards_of(file, images))
    references = [file.reference(row) for row in shards[0].rows]
    read = [read_image(reference) for reference in references]
    prepared = [bundle.preprocessing.apply(image) for image in read]
    pixels, valid = stack(prepared)
    digests = [image.digest for image in prepared]
    whole = folder / "model"
    how = How(whole, workers=0)
    begun = time.process_time()
    score_archive(bundle, file, how, lambda seen: Here(bundle), rows_per_shard=images)
    all_of_it = 1e3 * (time.process_time() - begun) / images
    decode = least(lambda: [read_image(reference) for reference in references], images)
    prepare = least(lambda: [bundle.preprocessing.apply(image) for image in read], images)
    score = least(lambda: bundle.judge(pixels, valid, digests), images)
    look = least(file.looked_through, images)
    hand_out = least(lambda: [shard.manifest.digest for shard in shards_of(file, images)], images)
    gather = least(lambda: gather_shards(whole, shards_of(file, images), bundle, images), images)
    written = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    return Cost(
        decode=decode,
        prepare=prepare,
        score=score,
        write=max(0.0, all_of_it - decode - prepare - score - look - hand_out - gather),
        look_through=look,
        hand_out=hand_out,
        gather=gather,
        bytes_read=sum(Path(reference).stat().st_size for reference in references) / images,
        bytes_written=written / images,
    )


@dataclass(frozen=True)
class Site:
    """machines of `cores` cores; a disk of so many bytes and opened files a second; of all shards a share
    whose worker dies half-way; seconds until a worker has begun."""

    machines: int
    cores: int = 16
    disk_bytes: float = 1e9
    disk_files: float = 10_000
    died: float = 0.001
    start: float = 15.0


def simulated(cost: Cost, studies: int, images_each: int, site: Site, rows: int = 1000) -> dict[str, float]:
    """Hours of each resource where it alone set the pace, and of the whole, shard by shard."""
    images = studies * images_each
    workers = site.machines * site.cores
    shards = -(-images // rows)
    of_a_shard = rows * cost.worker / 1e3
    ends = [site.start] * workers
    heapq.heapify(ends)
    draws = np.random.default_rng(0)
    many = shards > 200_000  # where each worker has hundreds of shards, rounds say as much as shards
    if many:
        last = site.start + of_a_shard * shards * (1 + site.died / 2) / workers + of_a_shard
    else:
        again = draws.random(shards) < site.died
        for died in again:
            heapq.heappush(ends, heapq.heappop(ends) + of_a_shard * (1.5 if died else 1.0))
        last = max(ends)
    parts = {
        "workers": last,
        "disk, bytes": images * (cost.bytes_read + cost.bytes_written) / site.disk_bytes,
        "disk, files": images / site.disk_files,
        "driver, handing out": images * cost.hand_out / 1e3,
    }
    slowest = max(parts, key=parts.__getitem__)
    ends_at = images * cost.look_through / 1e3 + parts[slowest] + images * cost.gather / 1e3
    hours = {name: seconds / 3600 for name, seconds in parts.items()}
    return (
        hours
        | {"driver, before and after": images * (cost.look_through + cost.gather) / 3.6e6}
        | {"whole": ends_at / 3600}
    )


def told(cost: Cost, studies: int, images_each: int, site: Site) -> str:
    hours = simulated(cost, studies, images_each, site)
    pace = max((name for name in hours if name != "whole"), key=hours.__getitem__)
    cells = " | ".join(f"{hours[name]:.3g}" for name in hours)
    return f"| {studies:.0e} | {site.machines} | {cells} | {pace} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=400, help="measured")
    parser.add_argument("--images-each", type=int, default=2, help="of a study")
    parser.add_argument("--decode-ms", type=float, help="in place of what is measured here")
    parser.add_argument("--encoder-ms", type=float, help="score of an image, in place of `spectrum`")
    parser.add_argument("--file-mb", type=float, help="of a file, in place of the small pictures")
    parser.add_argument("--cores", type=int, default=16)
    parser.add_argument("--disk-mb", type=float, default=1000, help="megabytes a second of all machines")
    parser.add_argument("--disk-files", type=float, default=10_000, help="files a second of all machines")
    parser.add_argument("--check", type=Path, help="what archive.py printed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cost = measured(Path(scratch), asked.images)
    print(f"{processor_name()}; an image of {asked.images}, milliseconds of processor time and bytes:")
    for field in fields(cost):
        print(f"  {field.name:14} {getattr(cost, field.name):10.3f}")
    if asked.check:
        found = json.loads(asked.check.read_text())
        total = sum(value for name, value in found.items() if " ms " in name)
        print(f"all parts: model {cost.worker + cost.driver:.2f}, measured {total:.2f} ms an image")
        return
    if asked.decode_ms is not None:
        cost = replace(cost, decode=asked.decode_ms)
    if asked.encoder_ms is not None:
        cost = replace(cost, score=asked.encoder_ms)
    if asked.file_mb is not None:
        cost = replace(cost, bytes_read=asked.file_mb * 1e6)
    names = simulated(cost, 1000, 1, Site(1))
    print(f"\n| studies | machines | {' | '.join(f'{name}, h' for name in names)} | sets the pace |")
    print("|" + "---|" * (len(names) + 3))
    for studies in (10**6, 10**8):
        for machines in (1, 4, 16, 64, 256):
            site = Site(machines, asked.cores, asked.disk_mb * 1e6, asked.disk_files)
            print(told(cost, studies, asked.images_each, site))


if __name__ == "__main__":
    main()
