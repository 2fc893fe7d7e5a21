"""Memory and processor time of commands that go through a manifest of very many rows.

    python benchmarks/machines/before_and_since/manifest_rows.py FOLDER --rows 10000000
    python .../manifest_rows.py FOLDER --source BEFORE/src --source src --only split

Writes, once and line by line, a made-up manifest of seven columns, four images a patient, as CSV and as
Parquet. The look is what `score`, `check` and `index --ray` do before the first image; shards are cut as
`score --shard-rows` and `--ray` cut them. Each command is a process of its own, with the package in each
`--source` in turns. Prints the largest resident memory in MiB, processor time in seconds, and whether what
each wrote and said is the same.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from in_turns import Measured, add_arguments, table, used

COLUMNS = ("path", "label", "finding", "patient_id", "study_id", "site", "age")
SPLIT = ("split", "{rows}.csv", "--seed", "1")
SPLIT_PARQUET = ("split", "{rows}.parquet", "--seed", "1")
COMMANDS: dict[str, Sequence[str]] = {
    "the look, CSV": ("look", "{rows}.csv"),
    "the look, Parquet": ("look", "{rows}.parquet"),
    "the look, CSV, --where site=north": ("look", "{rows}.csv", "site=north"),
    "shards of 1,000, CSV": ("shards", "{rows}.csv"),
    "shards of 1,000, Parquet": ("shards", "{rows}.parquet"),
    "split, CSV": (*SPLIT, "-o", "{out}.csv"),
    "split, CSV to Parquet": (*SPLIT, "-o", "{out}.parquet"),
    "split, Parquet to CSV": (*SPLIT_PARQUET, "-o", "{out}.csv"),
    "split of ten folds": (*SPLIT, "--folds", "10", "-o", "{out}.csv"),
    "folds of a Parquet file": (*SPLIT_PARQUET, "--folds", "10", "-o", "{out}.parquet"),
    "split, --where site=north": (*SPLIT, "--where", "site=north", "-o", "{out}.csv"),
}


def cells(rows: int) -> Iterator[list[str]]:
    for n in range(rows):
        label = ("normal", "normal", "normal", "abnormal", "")[n // 4 % 5]
        finding = "nodule" if label == "abnormal" else ""
        where = f"archive/{n % 97}/patient-{n // 4}/film-{n}.dcm"
        yield [
            where,
            label,
            finding,
            f"patient-{n // 4}",
            f"study-{n // 2}",
            ("south", "north")[n % 3 % 2],
            f"{n % 90}",
        ]


def make(folder: Path, rows: int) -> None:
    from secondread import parquet, tables

    with (folder / f"{rows}.csv").open("w", encoding="utf-8", newline="") as file:
        file.write(tables.line(COLUMNS))
        file.writelines(",".join(line) + "\n" for line in cells(rows))
    with (folder / f"{rows}.parquet").open("wb") as written:
        parquet.write(written, dict.fromkeys(COLUMNS, "string"), cells(rows), of=folder / f"{rows}.parquet")


def inside(command: Sequence[str]) -> None:
    from secondread.cohorts.manifest_file import ManifestFile
    from secondread.cohorts.shards import shards_of

    kind, path, *rest = command
    if kind == "look":
        print(ManifestFile(Path(path), tuple(rest)).looked_through())
    elif kind == "shards":
        seen = [0, 0]
        for shard in shards_of(ManifestFile(Path(path)), 1000):
            seen = [seen[0] + 1, seen[1] + len(shard.rows)]
        print(seen)
    else:
        from secondread.cli.main import main as secondread

        sys.argv = ["secondread", *command]
        secondread()


def main() -> None:
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2:])
        return
    if sys.argv[1:2] == ["--make"]:
        make(Path(sys.argv[2]), int(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    add_arguments(parser)
    parser.add_argument("--only", nargs="*", help=f"beginnings of {', '.join(COMMANDS)}")
    given = parser.parse_args()
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / f"{given.rows}.parquet").exists():
        # by another process, since what this one has held counts for those that it starts
        subprocess.run([sys.executable, __file__, "--make", folder, str(given.rows)], check=True)
    beginnings = tuple(given.only or ("",))
    names = [name for name in COMMANDS if name.startswith(beginnings)]
    table(f"{given.rows:,} rows", names, partial(run, folder, given.rows), given)


def run(folder: Path, rows: int, name: str, source: Path) -> Measured:
    """MiB, seconds, and a digest of what it wrote and said."""
    with tempfile.TemporaryDirectory(dir=folder) as there:
        places = {"rows": folder / str(rows), "out": Path(there) / "out"}
        command = [sys.executable, __file__, "--inside", *(one.format(**places) for one in COMMANDS[name])]
        memory, seconds, said, status = used(command, source, Path(there))
        digest = hashlib.sha256(said)
        for output in sorted(Path(there).glob("out.*")):
            if output.suffix in (".csv", ".parquet"):
                with output.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        if status:
            sys.exit(f"{name}: {said.decode()}")
    return memory, seconds, digest.hexdigest()


if __name__ == "__main__":
    main()
