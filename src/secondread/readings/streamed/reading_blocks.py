"""A table of readings block by block, each column of a block at once."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from secondread.errors import DataError
from secondread.readings.table_reader import Table

AT_ONCE = 256
NOT_SEEN = frozenset({"", "0", "no", "none", "false"})
TRUE = frozenset({"1", "true", "yes"})
UNJUDGED, NOT_FLAGGED, FLAGGED = range(3)
PART, BASELINE = "part_", "baseline_"
TEXTS = ("path", "digest", "study_id", "map")
WORDS = ("seen", "error", "remarks")


@dataclass(frozen=True)
class Block:
    """Some readings without their numbers: a column for each of `TEXTS` and of `WORDS`, and a flag each."""

    texts: Sequence[Sequence[str]]
    words: Sequence[Sequence[str]]
    flags: bytes


class ReadingBlocks:
    """The cells of a table as readings have them, `AT_ONCE` rows in a block; `numbers` grow on the way.

    name     the column in which paths stand
    judged   whether the table's flags count
    """

    def __init__(self, table: Table, name: str, *, judged: bool) -> None:
        self._table, self._judged = table, judged
        place = table.place
        self._at = {column: place.get(column) for column in (*TEXTS, *WORDS, "flagged")}
        self._at["path"] = place[name]
        ordered = ["score", "frame", "time_s", "p_value"]
        ordered += [column for prefix in (PART, BASELINE) for column in place if column.startswith(prefix)]
        ordered.append("score_without_complexity")
        self._read = [(column, place[column]) for column in ordered if column in place]
        self.numbers: dict[str, array[float]] = {column: array("d") for column, _ in self._read}

    def taken(self) -> dict[str, array[float]]:
        """The numbers so far, which begin anew."""
        found = self.numbers
        self.numbers = {name: array("d") for name in found}
        return found

    def __iter__(self) -> Iterator[Block]:
        rows = iter(self._table)
        while some := list(islice(rows, AT_ONCE)):
            yield self._block(some)

    def _block(self, rows: Sequence[tuple[int, list[str]]]) -> Block:
        columns = list(zip(*(cells for _, cells in rows), strict=True))
        try:
            numbers = [_numbers(columns[place]) for _, place in self._read]
        except ValueError:
            raise self._no_number(rows) from None
        path, digest, study, place_of_map, seen, error, remarks, flagged = (
            ("",) * len(rows) if at is None else columns[at] for at in self._at.values()
        )
        seen, errors = tuple(map(str.strip, seen)), list(map(str.strip, error))
        failed = np.isnan(numbers[0])
        if any(errors) or failed.any():
            for at, (text, without) in enumerate(zip(errors, failed.tolist(), strict=True)):
                if without and not text:
                    errors[at] = "no finite score"
                elif text:
                    numbers[0][at], failed[at] = math.nan, True
        flags = np.fromiter(map(self._flag, flagged), np.uint8, len(rows))
        flags[failed] = UNJUDGED
        for (name, _), column in zip(self._read, numbers, strict=True):
            self.numbers[name].frombytes(column.tobytes())
        return Block(
            [
                path,
                tuple(map(str.strip, digest)),
                tuple(map(str.strip, study)),
                tuple(text if text.strip() else "" for text in place_of_map),
            ],
            [tuple("" if text.lower() in NOT_SEEN else text for text in seen), errors, remarks],
            flags.tobytes(),
        )

    def _no_number(self, rows: Sequence[tuple[int, list[str]]]) -> DataError:
        """What to say of the first cell that holds no number."""
        for line, cells in rows:
            for name, place in self._read:
                try:
                    _number(cells[place])
                except ValueError:
                    text = cells[place].strip()
                    return DataError(f"{self._table.where(line)}, column {name}: {text!r} is not a number")
        raise AssertionError("each cell is a number or empty")

    def _flag(self, text: str) -> int:
        told = text.strip().lower()
        return UNJUDGED if not told or not self._judged else FLAGGED if told in TRUE else NOT_FLAGGED


def _numbers(texts: Sequence[str]) -> NDArray[np.float64]:
    """A column of numbers, NaN where a cell is empty or says no finite number. ValueError for words."""
    try:
        values = np.fromiter(map(float, texts), np.float64, len(texts))
    except ValueError:  # a cell is empty, or none of them is a number
        values = np.fromiter(map(_number, texts), np.float64, len(texts))
    values[~np.isfinite(values)] = np.nan
    return values


def _number(cell: str) -> float:
    return float(cell) if cell.strip() else math.nan
