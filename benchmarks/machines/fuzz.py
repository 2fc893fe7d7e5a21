"""20,000 damaged files through the readers and `index`: what escapes, hangs or grows beyond its limit.

    OMP_NUM_THREADS=1 python benchmarks/machines/fuzz.py [--count 20000] [--seed 0] [--zoo DIR] [--keep DIR]

Files are small valid ones of every format (with `--zoo`, real DICOM files too), damaged in structure: bits,
lengths, counts, header fields, codec headers, pieces of one another, with checksums mended. Goal: no error
but ImageError, no answer later than the limit, and no growth of the process that starts the workers. A
decoder that ends its worker costs one row, which is counted. The suite runs a short form
(tests/images/test_fuzz.py).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "images"))
from fuzz_run import Report, fuzz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--zoo", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for the files that are at fault; an empty one")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=60.0)
    given = parser.parse_args()
    started = time.monotonic()

    def note(report: Report) -> None:
        faults = f"{len(report.escapes)} escapes, {len(report.hangs)} hangs, {len(report.lost)} lost"
        elapsed = time.monotonic() - started
        print(f"{report.files} files, {faults}, {report.growth >> 20} MB, {elapsed:.0f} s", file=sys.stderr)

    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        report = fuzz(
            folder, given.count, seed=given.seed, zoo=given.zoo, workers=given.workers,
            timeout_s=given.timeout, note=note,
        )  # fmt: skip
    for name, count in sorted(report.counts.items()):
        print(f"{count:8} {name}")
    for title, lines in (("escape", report.escapes), ("hang", report.hangs), ("lost", report.lost)):
        for line in lines:
            print(f"{title}: {line}")
    for seconds, path in report.slowest:
        print(f"slow: {seconds:.2f} s {path}")
    print(
        f"{report.files} files: {len(report.escapes)} escapes, {len(report.hangs)} hangs, "
        f"{len(report.lost)} workers lost; this process grew by {report.growth >> 20} MB"
    )
    sys.exit(bool(report.escapes or report.hangs))


if __name__ == "__main__":
    main()
