"""The folder of readings as it is written: row by row, so that a stopped run loses one row at most.

`facts.jsonl` grows beside `readings.csv` with each image's acquisition facts, thumbnail and hashed patient
(equal ids of two patients are two studies); `finish`
makes `acquisition.csv` and `thumbnails.npz` of it.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from secondread import tables
from secondread.errors import UserError
from secondread.readings.readings import Reading

FIRST = ("path", "digest", "study_id", "score", "p_value", "flagged")
LAST = ("seen", "map", "error")
READINGS, FACTS = "readings.csv", "facts.jsonl"


@dataclass(frozen=True)
class Columns:
    """Which columns a table of readings has, besides those that all have."""

    parts: tuple[str, ...]
    baselines: tuple[str, ...]
    without_complexity: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return (
            *FIRST,
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
            "score": reading.score,
            "p_value": reading.p_value,
            "flagged": reading.flagged,
            "score_without_complexity": reading.score_without_complexity,
            "seen": reading.seen,
            "map": reading.map.relative_to(folder).as_posix() if reading.map else "",
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


class ReadingsTable:
    """The writer of one folder. `done` holds the paths that have a reading from an earlier run.

    Rows of an earlier run with an error are dropped, so that those files are tried again, and so is a
    last line that was torn; with `with_maps` those without a map too. Raises UserError where the folder
    holds a table with other columns.
    """

    def __init__(self, folder: Path, columns: Columns, *, with_maps: bool = False) -> None:
        self.folder = folder
        self.with_maps = with_maps
        self.columns = columns
        folder.mkdir(parents=True, exist_ok=True)
        kept = self._earlier()
        self.done = {row[0] for row in kept}
        self._rewrite(READINGS, tables.table([columns.names, *kept]))
        facts = {line["path"]: line for line in read_facts(folder / FACTS) if line["path"] in self.done}
        self._rewrite(FACTS, "".join(json.dumps(line) + "\n" for line in facts.values()))
        self._readings = (folder / READINGS).open("a", encoding="utf-8", newline="")
        self._facts = (folder / FACTS).open("a", encoding="utf-8")

    def _earlier(self) -> list[list[str]]:
        path = self.folder / READINGS
        if not path.is_file():
            return []
        text = path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1].decode("utf-8")
        header, *rows = tables.read_text(whole) or [[]]
        if not header:
            return []
        if tuple(header) != self.columns.names:
            raise UserError(
                f"{path}: a table with other columns than this bundle's readings have; "
                "choose another folder with -o"
            )
        map_at = header.index("map")
        return [
            row
            for row in rows
            if len(row) == len(header) and not row[-1] and not (self.with_maps and not row[map_at])
        ]

    def _rewrite(self, name: str, text: str) -> None:
        temporary = self.folder / f".{name}.{os.getpid()}.writing"
        try:
            temporary.write_text(text, encoding="utf-8", newline="")
            temporary.replace(self.folder / name)
        finally:
            temporary.unlink(missing_ok=True)

    def append(
        self,
        reading: Reading,
        acquisition: Mapping[str, float | str],
        thumbnail: NDArray[np.float32] | None,
        *,
        patient: str = "",
    ) -> None:
        """One image's facts (with what stands for its patient), then its row; both are with the system
        when this returns."""
        if thumbnail is not None:
            picture = base64.b64encode(np.ascontiguousarray(thumbnail, "<f4").tobytes()).decode("ascii")
            facts = {
                "path": reading.path,
                "patient": patient,
                "facts": dict(acquisition),
                "thumbnail": picture,
            }
            self._facts.write(json.dumps(facts) + "\n")
            self._facts.flush()
        self._readings.write(tables.line(self.columns.row(reading, self.folder)))
        self._readings.flush()

    def finish(self) -> None:
        """Write `acquisition.csv` and `thumbnails.npz` from all facts so far."""
        facts = {line["path"]: line for line in read_facts(self.folder / FACTS)}
        names = sorted({name for line in facts.values() for name in line["facts"]})
        rows = [[path, *(as_text(line["facts"].get(name)) for name in names)] for path, line in facts.items()]
        self._rewrite("acquisition.csv", tables.table([["path", *names], *rows]))
        pictures = [np.frombuffer(base64.b64decode(line["thumbnail"]), "<f4") for line in facts.values()]
        stacked = np.stack(pictures).reshape(-1, 16, 16) if pictures else np.zeros((0, 16, 16), np.float32)
        temporary = self.folder / f".thumbnails.{os.getpid()}.npz"
        try:
            np.savez_compressed(temporary, paths=np.array(list(facts), dtype=np.str_), thumbnails=stacked)
            temporary.replace(self.folder / "thumbnails.npz")
        finally:
            temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._readings.close()
        self._facts.close()


def read_facts(path: Path) -> list[dict[str, Any]]:
    """The whole lines of `facts.jsonl`; a torn last one is dropped."""
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines if line]
