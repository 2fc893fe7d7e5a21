"""The folder of readings as it is written: row by row, so that a stopped run loses one row at most.

`facts.jsonl` grows beside `readings.csv` with each image's acquisition facts, thumbnail and hashed patient
(equal ids of two patients are two studies), and with what tells whether the row still holds: the bundle and
the file's fingerprint. `finish` makes `acquisition.csv` and `thumbnails.npz` of it.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from secondread import tables
from secondread.cohorts.sequences import PLACES
from secondread.errors import UserError
from secondread.outputs.whole import write_whole
from secondread.readings.reading import Reading
from secondread.readings.table_reader import FACTS, read_facts

FIRST = ("path", "digest", "study_id")
JUDGED = ("score", "p_value", "flagged")
LAST = ("seen", "map", "remarks", "error")
READINGS = "readings.csv"


@dataclass(frozen=True)
class Columns:
    """Which columns a table of readings has, besides those that all have; `places` where an image is a frame
    of a sequence."""

    parts: tuple[str, ...]
    baselines: tuple[str, ...]
    without_complexity: bool = False
    places: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return (
            *FIRST,
            *(PLACES if self.places else ()),
            *JUDGED,
            *(("score_without_complexity",) if self.without_complexity else ()),
            *(f"part_{name}" for name in self.parts),
            *(f"baseline_{name}" for name in self.baselines),
            *LAST,
        )

    def row(self, reading: Reading, folder: Path) -> list[str]:
        values: dict[str, Any] = {
            "path": reading.path,
            "digest": reading.digest,
            "study_id": reading.study_id,
            "frame": reading.frame,
            "time_s": reading.time_s,
            "score": reading.score,
            "p_value": reading.p_value,
            "flagged": reading.flagged,
            "score_without_complexity": reading.score_without_complexity,
            "seen": reading.seen,
            "map": reading.map.relative_to(folder).as_posix() if reading.map else "",
            "remarks": "; ".join(reading.remarks),
            "error": reading.error,
        }
        values |= {f"part_{name}": value for name, value in reading.parts.items()}
        values |= {f"baseline_{name}": value for name, value in reading.baselines.items()}
        return [as_text(values.get(name)) for name in self.names]


def as_text(value: Any) -> str:
    """A cell: numbers as Python prints them exactly, flags as `true` and `false`, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return repr(float(value))
    return str(value)


def has_places(folder: Path) -> bool:
    """Whether the table of readings in a folder has the columns of frames."""
    path = folder / READINGS
    if not path.is_file():
        return False
    with path.open("rb") as file:
        first = file.readline().decode("utf-8", "replace")
    return set(PLACES) <= set(next(iter(tables.read_text(first)), []))


def _with_places(row: Sequence[str], header: Sequence[str], names: Sequence[str]) -> list[str]:
    """A row of a table without the columns of frames as one of a table that has them."""
    cells = dict(zip(header, row, strict=True))
    return [cells.get(name, "") for name in names]


@dataclass(frozen=True)
class Kept:
    """One image's line of `facts.jsonl`, as an earlier run wrote it."""

    line: Mapping[str, Any]

    @property
    def bundle(self) -> str:
        """The digest of the bundle that read it; empty where the line does not say."""
        return str(self.line.get("bundle", ""))

    @property
    def fingerprint(self) -> str:
        """Of its file, before it was read; empty where the line does not say."""
        return str(self.line.get("fingerprint", ""))


class ReadingsTable:
    """The writer of one folder. `done` holds the paths that have a reading from an earlier run.

    bundle     digest of the bundle that reads
    holds      whether a row of an earlier run still holds, from its path, its digest and what was kept of it
    with_maps  a row holds only with a map

    Rows of an earlier run with an error are dropped, so that those files are tried again, and so is a
    last line that was torn. Raises UserError where the folder holds a table with other columns. Nothing is
    written before the table is entered.
    """

    def __init__(
        self,
        folder: Path,
        columns: Columns,
        *,
        bundle: str = "",
        holds: Callable[[str, str, Kept], bool] = lambda path, digest, kept: True,
        with_maps: bool = False,
    ) -> None:
        self.folder = folder
        self.bundle = bundle
        self.with_maps = with_maps
        self.columns = columns
        facts = {line["path"]: line for line in read_facts(folder / FACTS)}
        earlier = {row[0]: row for row in self._earlier()}
        self._kept = [row for path, row in earlier.items() if holds(path, row[1], Kept(facts.get(path, {})))]
        self.done = {row[0] for row in self._kept}
        self._facts_kept = {path: line for path, line in facts.items() if path in self.done}

    def _earlier(self) -> list[list[str]]:
        path = self.folder / READINGS
        if not path.is_file():
            return []
        text = path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1].decode("utf-8", "replace")
        header, *rows = tables.read_text(whole) or [[]]
        if not header:
            return []
        names = self.columns.names
        if tuple(header) == tuple(name for name in names if name not in PLACES) != names:
            rows = [_with_places(row, header, names) for row in rows if len(row) == len(header)]
            header = list(names)
        if tuple(header) != names:
            raise UserError(
                f"{path}: a table with other columns than this bundle's readings have; "
                "choose another folder with -o"
            )
        map_at, error_at = header.index("map"), header.index("error")
        return [
            row
            for row in rows
            if len(row) == len(header) and not row[error_at] and not (self.with_maps and not row[map_at])
        ]

    def _rewrite(self, name: str, text: str) -> None:
        write_whole(self.folder / name, text.encode())

    def note(self, path: str, fingerprint: str) -> None:
        """The fingerprint that the file of a row that holds has now."""
        if path in self._facts_kept:
            self._facts_kept[path]["fingerprint"] = fingerprint

    def append(
        self,
        reading: Reading,
        acquisition: Mapping[str, float | str],
        thumbnail: NDArray[np.float32] | None,
        *,
        patient: str = "",
        fingerprint: str = "",
    ) -> None:
        """One image's facts (with what stands for its patient, and its file's fingerprint from before it was
        read), then its row; both are with the system when this returns."""
        if thumbnail is not None:
            picture = base64.b64encode(np.ascontiguousarray(thumbnail, "<f4").tobytes()).decode("ascii")
            facts = {
                "path": reading.path,
                "patient": patient,
                "bundle": self.bundle,
                "fingerprint": fingerprint,
                "facts": dict(acquisition),
                "thumbnail": picture,
            }
            self._facts.write(json.dumps(facts) + "\n")
            self._facts.flush()
        self._readings.write(tables.line(self.columns.row(reading, self.folder)))
        self._readings.flush()

    def finish(self) -> None:
        """Write `acquisition.csv` and `thumbnails.npz` from all facts so far."""
        facts: dict[str, dict[str, Any]] = {}
        pictures: dict[str, NDArray[np.float32]] = {}
        for line in read_facts(self.folder / FACTS):
            facts[line["path"]] = line["facts"]
            pictures[line["path"]] = np.frombuffer(base64.b64decode(line["thumbnail"]), "<f4")
        names = sorted({name for told in facts.values() for name in told})
        rows = ([path, *(as_text(told.get(name)) for name in names)] for path, told in facts.items())
        self._rewrite("acquisition.csv", tables.table(itertools.chain([["path", *names]], rows)))
        stacked = np.zeros((0, 16, 16), np.float32)
        if pictures:
            stacked = np.stack(list(pictures.values())).reshape(-1, 16, 16)
        written = io.BytesIO()
        np.savez_compressed(written, paths=np.array(list(facts), dtype=np.str_), thumbnails=stacked)
        write_whole(self.folder / "thumbnails.npz", written.getvalue())

    def __enter__(self) -> Self:
        self._rewrite(READINGS, tables.table([self.columns.names, *self._kept]))
        self._rewrite(FACTS, "".join(json.dumps(line) + "\n" for line in self._facts_kept.values()))
        self._readings = (self.folder / READINGS).open("a", encoding="utf-8", newline="")
        self._facts = (self.folder / FACTS).open("a", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._readings.close()
        self._facts.close()
