"""How many files of a folder give an image, and in one line each why the others do not.

    python benchmarks/machines/read_zoo.py [FOLDER] [--workers N]

FOLDER holds any files; with a `manifest.csv` that has a column `pydicom_alone` (empty = no pixels), the files
with pixels are counted apart. Without FOLDER, the developers' `dicom-zoo` beside the checkout is read.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

from secondread.images.read import read_image
from secondread.images.workers.map_in_workers import map_in_workers
from secondread.images.workers.outcome import Done

ZOO = Path(__file__).resolve().parents[3] / "shared" / "data" / "dicom-zoo"


def listed(folder: Path) -> tuple[list[str], list[bool]]:
    """The files to read, and for each whether the manifest says that it has pixels."""
    table = folder / "manifest.csv"
    if not table.exists():
        files = [str(path) for path in sorted(folder.rglob("*")) if path.is_file()]
        return files, [False] * len(files)
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    files = [str(folder / row["path"]) for row in rows]
    return files, [bool(row["pydicom_alone"]) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ZOO)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    files, with_pixels = listed(chosen.folder)
    started = time.perf_counter()
    images = images_with_pixels = 0
    for result in map_in_workers(read_image, files, workers=chosen.workers):
        if isinstance(result, Done):
            images += 1
            images_with_pixels += with_pixels[result.index]
        else:
            print(str(result.error).removeprefix(str(chosen.folder) + "/"))
    seconds = time.perf_counter() - started
    print(f"{images} of {len(files)} files give an image ({seconds:.1f} s, {chosen.workers} workers)")
    if any(with_pixels):
        print(f"{images_with_pixels} of the {sum(with_pixels)} files with pixels give an image")


if __name__ == "__main__":
    main()
