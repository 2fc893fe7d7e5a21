"""Whose an output is. A command writes into a folder of its own and into no other's, one run at a time, and
never over what it reads.

A folder says whose it is by `made_by` in its `run.json`, which is the first thing that a command writes
there; one without it is told by what only one command writes.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from secondread.errors import UserError
from secondread.outputs.lock import only_one
from secondread.outputs.whole import clear_leftovers
from secondread.parquet import columns_of, is_parquet

RECORD = "run.json"
SIGNS = (
    ("reproduce", ("reproduction.json",)),
    ("compare", ("comparison.json",)),
    ("transfer", ("asked.json", "transfer.json")),
    ("demo", (RECORD, "phantoms")),
    ("score", ("readings.csv",)),
    ("score", ("readings.csv.key",)),
    ("evaluate", ("metrics.json", "report.html")),
    ("sample", ("samples.csv", "samples")),
    ("anomalies", ("anomalies.png",)),
    ("tune", ("tune.json",)),
    ("export --to dicom", ("dicom.csv",)),
    ("export --to fhir", ("fhir.csv",)),
    ("export --to onnx", ("export.json",)),
    ("fit", ("bundle.json",)),
    ("fit", ("fit.json",)),
)
"""Command, and files that only its folder holds together."""
COMMANDS = frozenset(command for command, _ in SIGNS) | {"check"}
"""A folder of `check` is told by its record alone: it is there only while a run is not at its end."""


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
    were killed. Raises UserError where another run is at work there, or where it can have no folder."""
    if not out.name:
        raise UserError(f"{out}: a bundle becomes a folder of its own; give -o a new name, such as bundle")
    refuse_no_folder(out)
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
        refuse_no_folder(folder)
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


def table_place(
    output: Path,
    columns: Collection[str],
    what: str,
    *inputs: str | Path | None,
    asked: Mapping[str, str] | None = None,
) -> Path:
    """Where a command may write its table, without the leftovers of runs that were killed.

    columns  that such a table has, by which one is told that may be replaced
    what     what it is called
    inputs   what the command reads
    asked    what the command was asked for: a table that is there is replaced only where its record says that
             the same was asked for, and nobody has changed it since. None = it is replaced

    Raises UserError where the table would replace an input, another file or one that may have been edited, or
    lie in another command's folder or where no folder can be.
    """
    refuse_inputs(output, *inputs)
    refuse_no_folder(output)
    _refuse_inside(output)
    _refuse_other_file(output, columns, what)
    if asked is not None and output.is_file() and output.stat().st_size and not _untouched(output, asked):
        raise UserError(
            f"{output}: there already, and what was changed in it by hand would be lost; replace it with "
            "--force, or choose another -o"
        )
    clear_leftovers(output, beside(output), output.with_name(f"{output.name}.key"))
    return output


def _refuse_other_file(output: Path, columns: Collection[str], what: str) -> None:
    if not output.exists():
        return
    if not output.is_file():
        raise UserError(f"{output}: is no file; choose another place with -o")
    if output.stat().st_size and not set(columns) <= set(_header(output)):
        raise UserError(f"{output}: there is another file already that is no {what}; choose another -o")


def refuse_no_folder(output: Path) -> None:
    """Raises UserError where what `output` should lie in is no folder, or none in which one may write, and
    where `output` is a symbolic link to itself."""
    parent = output.absolute().parent
    while not os.path.lexists(parent) and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        raise UserError(f"{output}: {parent} is no folder; choose another place with -o")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UserError(f"{output}: you may not write in {parent}; choose another place with -o")
    try:
        output.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:  # Python 3.13 resolves it without an error
            raise UserError(
                f"{output}: a symbolic link that leads to itself; choose another place with -o"
            ) from error


def digest_of_table(path: Path) -> str:
    """Hex BLAKE2b-160 of a file's bytes, by which its record tells whether it was changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()


def _untouched(output: Path, asked: Mapping[str, str]) -> bool:
    """Whether the same was asked for when the table was written, and it is as it was."""
    try:
        record = json.loads(beside(output).read_text(encoding="utf-8"))
        return record["asked"] == dict(asked) and record["table"] == digest_of_table(output)
    except (OSError, ValueError, KeyError, TypeError):
        return False


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
    """The cells of a table's first line; none where it is no text and no Parquet file."""
    try:
        if is_parquet(path):
            return columns_of(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [cell.strip() for cell in next(csv.reader([file.readline(1 << 16)]), [])]
    except (OSError, UnicodeDecodeError, csv.Error, UserError):
        return []
