"""The folder of readings as it is written: row by row, so that a stopped run loses one row at most.

`facts.jsonl` grows beside `readings.csv` with each image's acquisition facts, thumbnail and hashed patient
(equal ids of two patients are two studies), and with what tells whether the row still holds: the bundle and
the file's fingerprint. `finish` makes `acquisition.csv` and `thumbnails.npz` of it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from secondread import tables
from secondread.cohorts.sequences import PLACES
from secondread.outputs.whole import whole_output
from secondread.readings.reading import Reading, as_text
from secondread.readings.streamed.earlier_rows import EarlierRows
from secondread.readings.streamed.facts_file import FactsFile
from secondread.readings.streamed.gathered_facts import write_gathered
from secondread.readings.table_reader import FACTS

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


def has_places(folder: Path) -> bool:
    """Whether the table of readings in a folder has the columns of frames."""
    path = folder / READINGS
    if not path.is_file():
        return False
    with path.open("rb") as file:
        first = file.readline().decode("utf-8", "replace")
    return set(PLACES) <= set(next(iter(tables.read_text(first)), []))


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
    """The writer of one folder. `earlier` is the number of its rows that are from an earlier run.

    bundle     digest of the bundle that reads
    holds      whether a row of an earlier run still holds, from its path, its digest and what was kept of it;
               asked once for each path
    now        the fingerprint that the file of a row has now; None = as the row's facts say
    with_maps  a row holds only with a map

    Rows of an earlier run with an error are dropped, so that those files are tried again, and so is a
    last line that was torn. Raises UserError where the folder holds a table with other columns. Nothing is
    written before the table is entered, and no row is held.
    """

    def __init__(
        self,
        folder: Path,
        columns: Columns,
        *,
        bundle: str = "",
        holds: Callable[[str, str, Kept], bool] = lambda path, digest, kept: True,
        now: Callable[[str], str | None] = lambda path: None,
        with_maps: bool = False,
    ) -> None:
        self.folder = folder
        self.bundle = bundle
        self.with_maps = with_maps
        self.columns = columns
        self._now = now
        self._before = EarlierRows(folder / READINGS, columns.names, with_maps=with_maps)
        with FactsFile(folder / FACTS) as facts:
            self._facts_kept = bytearray(len(facts))
            for row in self._before:
                number = facts.find(row[0])
                held = holds(row[0], row[1], Kept({} if number is None else facts[number]))
                self._before.kept.append(held)
                if held and number is not None:
                    self._facts_kept[number] = True
        self.earlier = sum(self._before.kept)

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
        write_gathered(self.folder)

    def __enter__(self) -> Self:
        with whole_output(self.folder / READINGS) as table:
            table.write(tables.line(self.columns.names).encode())
            for row, kept in zip(self._before, self._before.kept, strict=True):
                if kept:
                    table.write(tables.line(row).encode())
        with whole_output(self.folder / FACTS) as file, FactsFile(self.folder / FACTS) as facts:
            for number, line in enumerate(facts):
                if self._facts_kept[number]:
                    file.write(self._noted(line))
        self._readings = (self.folder / READINGS).open("a", encoding="utf-8", newline="")
        self._facts = (self.folder / FACTS).open("a", encoding="utf-8")
        return self

    def _noted(self, line: dict[str, Any]) -> bytes:
        """A line of an earlier run with the fingerprint that its file has now."""
        if (fingerprint := self._now(line["path"])) is not None:
            line["fingerprint"] = fingerprint
        return (json.dumps(line) + "\n").encode()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._readings.close()
        self._facts.close()
