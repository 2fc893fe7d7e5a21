"""The tables that scoring wrote, read back: readings, studies, facts, acquisition and thumbnails."""

from __future__ import annotations

import contextlib
import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread import tables
from secondread.errors import DataError, UserError
from secondread.readings.reading import Reading

FACTS = "facts.jsonl"
SHARDS = "shards"
"""The folder of an archive's shards (`readings.archive`), each of which holds facts, thumbnails and maps."""
NOT_SEEN = frozenset({"", "0", "no", "none", "false"})


def read_facts(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of `facts.jsonl`, one after the other, since each holds a picture; one that is torn or
    damaged is dropped."""
    for place in _files_of(path):
        with place.open("rb") as file:
            for line in file:
                if facts := facts_of(line):
                    yield facts


def facts_of(line: bytes) -> dict[str, Any] | None:
    """What a line of `facts.jsonl` says; None where it is torn or damaged."""
    if not line.endswith(b"\n"):
        return None
    with contextlib.suppress(ValueError):
        facts = json.loads(line)
        if isinstance(facts, dict) and {"path", "facts", "thumbnail"} <= facts.keys():
            return facts
    return None


def _files_of(path: Path) -> list[Path]:
    """The file, or those of this name in the shards beside it; none where there is neither."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.parent.glob(f"{SHARDS}/*/{path.name}") if file.is_file())


def hashed_patients(folder: Path) -> dict[str, str]:
    """Path -> hashed patient, as the runs into a folder wrote them."""
    return {line["path"]: line.get("patient", "") for line in read_facts(folder / FACTS)}


def read_rows(path: Path, name: str) -> tuple[Reading, ...]:
    rows: dict[str, Reading] = {}
    for row in each_row(path, name):
        rows.pop(row.path, None)
        rows[row.path] = row
    return tuple(rows.values())


def each_row(path: Path, name: str) -> Iterator[Reading]:
    """The rows one after the other, also those of a path that stands again."""
    for where, row in _table(path, (name, "score")):
        yield _reading(row, row[name], path.parent, where)


def _table(path: Path, needed: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each row of a table stands, and its cells by column."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = tables.read(file)
            _, columns = next(table, (1, []))
            for name in needed:
                if name not in columns:
                    raise UserError(
                        f"{path}: no column {name!r}; give the table that `secondread score` wrote"
                    )
            for number, cells in table:
                where = f"{path}, line {number}"
                if len(cells) != len(columns):
                    raise DataError(f"{where}: the row is cut short or too long; run the same `score` again")
                yield where, dict(zip(columns, cells, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: damaged ({error}); run the same `score` again") from None


def read_studies(path: Path) -> dict[str, Reading]:
    if not path.is_file():
        return {}
    rows = read_rows(path, "worst_image")
    return {row.path: replace(row, path=row.study_id) for row in rows if row.path}


def read_ranks(path: Path) -> list[dict[str, str]]:
    """The rows of `studies.csv` by column, the highest score first and studies without one last, each with
    its rank; a table of earlier versions is sorted. Raises UserError and DataError as `read_rows`."""
    rows = [row for _, row in _table(path, ("study_id", "score", "worst_image"))]
    if rows and "rank" not in rows[0]:
        rows.sort(key=lambda row: -float(row["score"] or "-inf"))
        rows = [{"rank": str(rank) if row["score"] else "", **row} for rank, row in enumerate(rows, start=1)]
    return rows


def _reading(row: Mapping[str, str], name: str, directory: Path, where: str) -> Reading:
    def number(column: str) -> float | None:
        text = row.get(column, "").strip()
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            raise DataError(f"{where}, column {column}: {text!r} is not a number") from None
        return value if math.isfinite(value) else None

    def group(prefix: str) -> dict[str, float]:
        found = {name: number(name) for name in row if name.startswith(prefix)}
        return {name.removeprefix(prefix): value for name, value in found.items() if value is not None}

    score = number("score")
    error = row.get("error", "").strip()
    if score is None and not error:
        error = "no finite score"
    if error:
        score = None
    flagged = row.get("flagged", "").strip().lower()
    seen = row.get("seen", "").strip()
    return Reading(
        path=name,
        digest=row.get("digest", "").strip(),
        study_id=row.get("study_id", "").strip(),
        frame=None if (place := number("frame")) is None else int(place),
        time_s=number("time_s"),
        score=score,
        p_value=number("p_value"),
        flagged=None if not flagged or score is None else flagged in {"1", "true", "yes"},
        parts=group("part_"),
        baselines=group("baseline_"),
        score_without_complexity=number("score_without_complexity"),
        seen="" if seen.lower() in NOT_SEEN else seen,
        error=error,
        map=directory / row["map"] if row.get("map", "").strip() else None,
        remarks=tuple(part for part in row.get("remarks", "").split("; ") if part.strip()),
    )


def read_acquisition(path: Path) -> dict[str, dict[str, str]]:
    """Path -> facts; of several shards each image has all columns."""
    once: dict[str, str] = {}  # most images of a table have the same format, sides and so on
    found = {
        row["path"]: {name: once.setdefault(value, value) for name, value in row.items() if name != "path"}
        for file in _files_of(path)
        for _, row in _table(file, ("path",))
    }
    names = dict.fromkeys(name for facts in found.values() for name in facts)
    if all(facts.keys() == names.keys() for facts in found.values()):
        return found
    return {image: {name: facts.get(name, "") for name in names} for image, facts in found.items()}


def read_thumbnails(path: Path) -> dict[str, NDArray[np.float32]]:
    return {name: picture for file in _files_of(path) for name, picture in _thumbnails(file).items()}


def _thumbnails(path: Path) -> dict[str, NDArray[np.float32]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            names, pictures = stored["paths"], stored["thumbnails"]
        if len(names) != len(pictures) or pictures.shape[1:] != (16, 16) or pictures.dtype.kind != "f":
            raise ValueError("not one thumbnail of 16×16 for each path")
    except Exception as error:  # NumPy's archives raise many kinds where a byte is wrong
        raise DataError(f"{path}: damaged ({error}); run the same `score` again") from None
    return {str(name): np.asarray(picture, np.float32) for name, picture in zip(names, pictures, strict=True)}
