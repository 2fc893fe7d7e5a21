"""What to say of a path that is no manifest: what lies there, and which command or file was meant."""

from __future__ import annotations

import shlex
from pathlib import Path

from secondread.cohorts.labels.encoding import not_utf8
from secondread.images.first_bytes import format_of
from secondread.parquet import SUFFIXES
from secondread.wording.near_names import near_names

_START = 1024
_TABLES = (".xlsx", ".xlsm", ".xls")


def missing(path: Path) -> str:
    """Of a path where nothing lies: names that are near, or that its folder is not there."""
    if not path.parent.is_dir():
        return f"{path}: no such manifest; there is no folder {path.parent}"
    names = [
        each.name
        for each in path.parent.iterdir()
        if each.suffix.lower() in (".csv", *SUFFIXES) and each.exists()
    ]
    near = near_names(path.name, names)
    meant = f"did you mean {' or '.join(near)}?" if near else "give the path of a CSV file"
    return f"{path}: no such manifest; {meant}"


def folder(path: Path) -> str:
    """Of a folder: the manifest in it, or the command that lists its images."""
    inside = next((name for name in ("manifest.csv",) if (path / name).is_file()), "")
    remedy = f"give {path / inside}" if inside else f"list its images first with {_index(path)}"
    return f"{path}: a folder, where a manifest was meant; {remedy}"


def not_text(path: Path) -> str:
    """Of a file that is no UTF-8: an image, a workbook, or a table in another encoding."""
    with path.open("rb") as stream:
        start = stream.read(_START)
    if path.suffix.lower() in _TABLES:
        command = f"`secondread index FOLDER --labels {path}`"
        return f"{path}: no CSV; save it as CSV in UTF-8, or make a manifest of it with {command}"
    kind = format_of(start)
    if kind is not None:
        what = "an archive" if kind == "npz" else "an image"
        return f"{path}: {what}, where a manifest was meant; list it first with {_index(path)}"
    return not_utf8(path)


def _index(path: Path) -> str:
    return f"`secondread index {shlex.quote(str(path))} -o manifest.csv`"
