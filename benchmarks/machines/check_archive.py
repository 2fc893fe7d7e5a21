"""`secondread check` on an archive: a manifest of small pictures, or the driver's part of many rows alone.

    python benchmarks/machines/check_archive.py FOLDER --images 20000    # makes FOLDER/check-20000.csv, for:
    python benchmarks/machines/memory.py secondread check FOLDER/check-20000.csv -o findings.csv -q
    python benchmarks/machines/check_archive.py FOLDER --rows 1000000    # rows without pictures

Pictures are those of `archive.py`, with a label, a patient of four and a split each. With `--rows` nothing is
read: what would have been seen of a picture is made up from its number, and goes through the manifest, the
table and all its queries as in a check. Time is the processor's.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
from small_pictures import name_of, pictures

from secondread.cohorts.checking.findings import findings
from secondread.cohorts.checking.inspection import Inspection
from secondread.cohorts.checking.seen_table import SeenTable
from secondread.cohorts.manifest_file import ManifestFile
from secondread.outputs.temporary_database import temporary_place


def manifest_of(folder: Path, rows: int) -> Path:
    place = folder / f"check-{rows}.csv"
    with place.open("w", encoding="utf-8") as file:
        file.write("path,split,label,patient_id,study_id\n")
        for n in range(rows):
            split, label = "test" if n // 4 % 5 == 0 else "train", "abnormal" if n % 10 == 0 else "normal"
            file.write(f"{name_of(n)},{split},{label},patient-{n // 4},study-{n // 2}\n")
    return place


def made_up(n: int) -> Inspection:
    """Of one picture in a thousand a copy is there, and one in a million has one value throughout."""
    of = n - 1 if n % 1000 == 1 else n
    facts: dict[str, float | str] = {
        "rows": 96.0, "columns": 96.0, "slices": 1.0, "channels": 1.0, "bits": 8.0, "format": "PNG",
        "mode": "L",
        "file_bytes": 5000.0 + n * 7919 % 997, "bytes_per_pixel": (5000.0 + n * 7919 % 997) / 9216,
        "border_mean": 100.0 + n * 104729 % 1000003 / 1e4, "border_sd": 50.0 + n * 15485863 % 1000003 / 1e4,
    }  # fmt: skip
    return Inspection(
        f"{of:040x}", f"{of * 2654435761 % 2**64:040x}", (96, 96), 1, "", n % 1_000_000 == 7, facts
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, help="pictures to make, with their manifest")
    parser.add_argument("--rows", type=int, help="rows without pictures, for the driver's part")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    if asked.images:
        pictures(asked.folder, asked.images)
        print(manifest_of(asked.folder, asked.images))
    if asked.rows:
        driver(ManifestFile(manifest_of(asked.folder, asked.rows)), asked.rows)


def driver(manifest: ManifestFile, rows: int) -> None:
    held = {"at the start": memory()}
    spent: dict[str, float] = {}

    def timed(part: str, do: Callable[[], None]) -> None:
        begun = time.process_time()
        do()
        spent[part] = 1e6 * (time.process_time() - begun) / rows
        held[f"after: {part}"] = memory()

    timed("look through the manifest", lambda: looked(manifest))
    with closing(SeenTable()) as table:

        def fill() -> None:
            for n, row in enumerate(manifest.rows()):
                table.add(row, made_up(n))
                if n == rows // 10:
                    held["after a tenth of the rows"] = memory()
            table.finish()

        def tell() -> None:
            for found in findings(table):
                print(found.severity, found.line[:200], sum(1 for _ in found.paths))

        timed("rows, made up and added", fill)
        timed("findings", tell)
        (pages,) = table.data.one("PRAGMA page_count")
    from secondread.scoring.bf16_speed import processor_name  # imports torch, which is not to be measured

    told = {
        "processor": processor_name(),
        "rows": rows,
        "resident memory, MB": held,
        "microseconds of processor time a row": spent,
        "bytes a row on the disk": 4096 * pages / rows,
        "where": temporary_place(),
    }
    print(json.dumps(told, indent=1))


def looked(manifest: ManifestFile) -> None:
    manifest.looked_through()


def memory() -> float:
    return round(psutil.Process(os.getpid()).memory_info().rss / 2**20, 1)


if __name__ == "__main__":
    main()
