"""Memory and processor time of `index` with each option that says more of files than their names.

    python benchmarks/machines/before_and_since/index_options.py FOLDER --files 20000
    python .../index_options.py FOLDER --source BEFORE/src --source src --rounds 2

Makes, once, folders of pictures that are links to a few files, tables of labels and a split file, and lists
them. Headers are made up, so this is the part of the process that walks, pairs and writes. Prints the largest
resident memory in MiB and the processor time in seconds (the least of the rounds) of the package in each
`--source` in turns, and whether what they wrote and said is the same.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from in_turns import Measured, add_arguments, table, used

FOLDER_OF = 1000
"""Pictures in one folder."""
LINKS = 20_000
"""Of one file to each kind, together fewer than a file system allows (ext4: 65,000)."""
KINDS = ("pictures", "masked", "parts")
FINDINGS = ("No Finding", "Mass", "Nodule|Mass", "")
COMMANDS: dict[str, tuple[str, Sequence[str]]] = {
    "nothing": ("pictures", ()),
    "labels by path": (
        "pictures",
        ("--labels", "{folder}/paths.csv", "--label-column", "says", "--normal", "No Finding"),
    ),
    "labels by name": (
        "pictures",
        (
            *("--labels", "{folder}/names.csv", "--label-column", "says", "--normal", "No Finding"),
            *("--patient-column", "person", "--keep", "age"),
        ),
    ),
    "labels by id": (
        "pictures",
        ("--labels", "{folder}/ids.csv", "--label-column", "says", "--normal", "No Finding"),
    ),
    "split file": ("pictures", ("--split-file", "{folder}/data.json")),
    "mask": ("masked", ("--mask", "{{folder}}/../masks/{{stem}}_m*.png")),
    "channels": ("parts", ("--channels", "t1,t2")),
    "volume parts": ("parts", ("--volume-parts", "image=t1,mask=t2")),
    "folders as sequences": ("pictures", ("--folders-as-sequences",)),
    "patient": ("pictures", ("--patient", "p([0-9]+)")),
}


class MadeUp:
    """In place of workers: each file is a small picture."""

    def __init__(self, base: Path, workers: int) -> None:
        pass

    def __call__(self, pieces: Iterator[Any]) -> Iterator[Any]:
        from secondread.cohorts.listing.streamed.reading import Read
        from secondread.images.header import Header

        for piece in pieces:
            headers = tuple(Header(path, "png", size=(2, 2), rank=2) for _, path in piece.files)
            yield Read(piece.number, piece.files, headers)


def index(command: Sequence[str]) -> None:
    from secondread.cli.main import main
    from secondread.cohorts.listing import listing

    listing.Here = MadeUp  # type: ignore[assignment,misc]
    sys.argv = ["secondread", "index", *command]
    main()


def main() -> None:
    if sys.argv[1:2] == ["--index"]:
        index(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=20_000)
    add_arguments(parser)
    parser.add_argument("--only", nargs="*", help=f"of {', '.join(COMMANDS)}")
    given = parser.parse_args()
    folder = given.folder.resolve() / str(given.files)
    if not folder.exists():
        make(folder, given.files)
    table(f"{given.files:,} files", given.only or COMMANDS, partial(run, folder), given)


def make(folder: Path, files: int) -> None:
    folder.mkdir(parents=True)
    for kind in KINDS:
        for number in range(files):
            link(folder, number // LINKS, folder / kind / place(kind, number))
    header = "says,age,person"
    with (
        (folder / "paths.csv").open("w") as paths,
        (folder / "names.csv").open("w") as names,
        (folder / "ids.csv").open("w") as ids,
    ):
        print(f"path,{header}", file=paths)
        print(f"image,{header}", file=names)
        print(f"id,{header}", file=ids)
        for number in range(files):
            path = Path(place("pictures", number))
            says = f"{FINDINGS[number % 4]},{number % 90},person-{number // 3}"
            print(f"set/{path},{says}", file=paths)
            print(f"{path.name},{says}", file=names)
            print(f"{path.stem.partition('_')[0]},{says}", file=ids)
    lists: list[list[str]] = [[], [], [], [], []]
    for number in range(files):
        lists[number % 5].append(Path(place("pictures", number)).name)
    said = {
        "train": {"0": lists[0], "unlabeled": {"0": lists[1], "1": lists[2]}},
        "test": {"0": lists[3], "1": lists[4]},
    }
    (folder / "data.json").write_text(json.dumps(said))


def place(kind: str, number: int) -> str:
    if kind == "pictures":
        return f"p{number // FOLDER_OF}/{number}_film.png"
    half = number // 2
    if kind == "masked":
        return f"s{half // FOLDER_OF}/" + (f"masks/{half}_m1.png" if number % 2 else f"images/{half}.png")
    return f"s{half // FOLDER_OF}/{half}_t{1 + number % 2}.png"


def link(folder: Path, file: int, to: Path) -> None:
    own = folder / "files" / f"{file}.png"
    if not own.exists():
        own.parent.mkdir(exist_ok=True)
        own.write_bytes(b"x")
    to.parent.mkdir(parents=True, exist_ok=True)
    os.link(own, to)


def run(folder: Path, name: str, source: Path) -> Measured:
    """MiB, seconds, and what it wrote and said."""
    kind, options = COMMANDS[name]
    with tempfile.TemporaryDirectory(dir=folder) as there:
        output = Path(there) / "manifest.csv"
        command = [
            *(sys.executable, __file__, "--index", str(folder / kind), "-o", str(output)),
            *(one.format(folder=folder) for one in options),
        ]
        memory, seconds, said, _ = used(command, source, Path(there))
        written = output.read_bytes() if output.exists() else b""
    return memory, seconds, (written, said)


if __name__ == "__main__":
    main()
