"""Memory and processor time of commands that go through a manifest of very many rows.

    python benchmarks/machines/manifest_rows.py FOLDER --rows 10000000
    python benchmarks/machines/manifest_rows.py FOLDER --source BEFORE/src --source src --only split

Writes, once and line by line, a made-up manifest of seven columns, four images a patient, as CSV and as
Parquet. The look is what `score`, `check` and `index --ray` do before the first image; shards are cut as
`score --shard-rows` and `--ray` cut them. Each command is a process of its own, with the package in each
`--source` in turns. Prints the largest resident memory in MiB, processor time in seconds, and whether what
each wrote and said is the same.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

COLUMNS = ("path", "label", "finding", "patient_id", "study_id", "site", "age")
SPLIT = ("split", "{rows}.csv", "--seed", "1")
COMMANDS: dict[str, Sequence[str]] = {
    "the look, CSV": ("look", "{rows}.csv"),
    "the look, Parquet": ("look", "{rows}.parquet"),
    "the look, CSV, --where site=north": ("look", "{rows}.csv", "site=north"),
    "shards of 1,000, CSV": ("shards", "{rows}.csv"),
    "shards of 1,000, Parquet": ("shards", "{rows}.parquet"),
    "split, CSV": (*SPLIT, "-o", "{out}.csv"),
    "split, CSV to Parquet": (*SPLIT, "-o", "{out}.parquet"),
    "split, Parquet to CSV": ("split", "{rows}.parquet", "--seed", "1", "-o", "{out}.csv"),
    "split of ten folds": (*SPLIT, "--folds", "10", "-o", "{out}.csv"),
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
    parser.add_argument("--source", action="append", type=Path, help="where the package lies (default: src)")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", help=f"beginnings of {', '.join(COMMANDS)}")
    given = parser.parse_args()
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / f"{given.rows}.parquet").exists():
        # by another process, since what this one has held counts for those that it starts
        subprocess.run([sys.executable, __file__, "--make", folder, str(given.rows)], check=True)
    sources = [source.resolve() for source in given.source or [Path("src")]]
    heads = [f"{source.parent.name}, MiB | s" for source in sources]
    print(f"| {given.rows:,} rows | {' | '.join(heads)} | same |\n|---|" + "---|---|" * len(sources) + "---|")
    for name in COMMANDS:
        if given.only and not name.startswith(tuple(given.only)):
            continue
        turns = [[run(folder, given.rows, name, source) for source in sources] for _ in range(given.rounds)]
        told = [
            f"{min(t[at][0] for t in turns):.0f} | {min(t[at][1] for t in turns):.1f}"
            for at in range(len(sources))
        ]
        same = "yes" if len({one[2] for turn in turns for one in turn}) == 1 else "NO"
        print(f"| {name} | {' | '.join(told)} | {same} |", flush=True)


def run(folder: Path, rows: int, name: str, source: Path) -> tuple[float, float, str]:
    """MiB, seconds, and a digest of what it wrote and said."""
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory(dir=folder) as there:
        places = {"rows": folder / str(rows), "out": Path(there) / "out"}
        command = [sys.executable, __file__, "--inside", *(one.format(**places) for one in COMMANDS[name])]
        with (Path(there) / "said").open("wb") as said:
            process = subprocess.Popen(
                command, env={**os.environ, "PYTHONPATH": str(source)}, stdout=said, stderr=subprocess.STDOUT
            )
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        digest.update((Path(there) / "said").read_bytes().replace(there.encode(), b""))
        for output in sorted(Path(there).glob("out.*")):
            if output.suffix in (".csv", ".parquet"):
                with output.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        if process.returncode:
            sys.exit(f"{name}: {(Path(there) / 'said').read_text()}")
    return used.ru_maxrss / 2**10, used.ru_utime + used.ru_stime, digest.hexdigest()


if __name__ == "__main__":
    main()
