"""Whose an output is. A command writes into a folder of its own and into no other's, one run at a time, and
never over what it reads.

A folder says whose it is by `made_by` in its `run.json`, which is the first thing that a command writes
there; one without it is told by what only one command writes.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from secondread.errors import UserError
from secondread.outputs.lock import only_one
from secondread.outputs.whole import clear_leftovers

RECORD = "run.json"
SIGNS = (
    ("compare", ("comparison.json",)),
    ("demo", (RECORD, "phantoms")),
    ("score", ("readings.csv",)),
    ("score", ("readings.csv.key",)),
    ("evaluate", ("metrics.json", "report.html")),
    ("sample", ("samples.csv", "samples")),
    ("anomalies", ("anomalies.png",)),
    ("fit", ("bundle.json",)),
    ("fit", ("fit.json",)),
)
"""Command, and files that only its folder holds together."""
COMMANDS = frozenset(command for command, _ in SIGNS)


def made_by(folder: Path) -> str | None:
    """The command whose output the folder is; None where it is none's."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        said = record.get("made_by") if isinstance(record, dict) else None
    except (OSError, ValueError):
        said = None
    if said in COMMANDS:
        return str(said)
    return next(
        (command for command, files in SIGNS if all((folder / file).exists() for file in files)), None
    )


@contextmanager
def output_folder(folder: Path, command: str) -> Iterator[Path]:
    """Hold a command's own folder for the block, without the leftovers of runs that were killed.

    Raises UserError where it is another command's, holds other things, or another run is at work there.
    """
    refuse_other_folder(folder, command)
    with only_one(folder):
        refuse_other_folder(folder, command)
        clear_leftovers(folder)
        yield folder


@contextmanager
def output_bundle(out: Path) -> Iterator[Path]:
    """Hold the place of a bundle, which is not there until it is whole, without the leftovers of runs that
    were killed. Raises UserError where another run is at work there."""
    with only_one(out, beside=True):
        clear_leftovers(out, beside(out), partial(out))
        yield out


def partial(out: Path) -> Path:
    """Where a bundle's fit lies until it is whole."""
    return out.with_name(f"{out.name}.partial")


def beside(output: Path) -> Path:
    """The record of an output that is not the command's own folder: `bundle.run.json` beside `bundle`."""
    return output.with_name(f"{output.name}.{RECORD}")


def refuse_other_folder(folder: Path, command: str) -> None:
    """Raises UserError where `folder` is there and not the command's own, unless it is empty."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder}: is a file, and `{command}` writes a folder; choose another place with -o")
    owner = made_by(folder)
    if owner == command:
        return
    if owner is not None:
        raise UserError(
            f"{folder}: is the output of `{owner}`, and no command writes into another's folder; "
            "choose a new folder with -o"
        )
    if any(not path.name.startswith(".") for path in folder.iterdir()):
        raise UserError(f"{folder}: a folder with other things in it; choose a new one with -o")


def refuse_inputs(output: Path, *inputs: str | Path | None) -> None:
    """Raises UserError where a command's output is one of its inputs."""
    for given in inputs:
        if given is not None and _same(output, Path(given)):
            raise UserError(f"{output}: is read by this command and would be lost; choose another -o")


def table_place(output: Path, columns: Collection[str], what: str, *inputs: str | Path | None) -> Path:
    """Where a command may write its table, without the leftovers of runs that were killed.

    columns  that such a table has, by which one is told that may be replaced
    what     what it is called
    inputs   what the command reads

    Raises UserError where the table would replace an input or another file, or lie in another command's
    folder.
    """
    refuse_inputs(output, *inputs)
    _refuse_inside(output)
    _refuse_other_file(output, columns, what)
    clear_leftovers(output, beside(output), output.with_name(f"{output.name}.key"))
    return output


def _refuse_other_file(output: Path, columns: Collection[str], what: str) -> None:
    if not output.exists():
        return
    if not output.is_file():
        raise UserError(f"{output}: is no file; choose another place with -o")
    if output.stat().st_size and not set(columns) <= set(_header(output)):
        raise UserError(f"{output}: there is another file already that is no {what}; choose another -o")


def _refuse_inside(output: Path) -> None:
    folder = output.absolute().parent
    owner = made_by(folder) if any((folder / file).is_file() for file in (RECORD, "bundle.json")) else None
    if owner not in (None, "demo"):
        raise UserError(
            f"{output}: {folder} is the output of `{owner}`, and no command writes into another's folder; "
            "choose another place with -o"
        )


def _same(first: Path, second: Path) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        return os.path.realpath(first) == os.path.realpath(second)


def _header(path: Path) -> list[str]:
    """The cells of a table's first line; none where it is no text."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [cell.strip() for cell in next(csv.reader([file.readline(1 << 16)]), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
