"""The readings of a run in little memory, each a `Reading` when it is asked for."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from secondread.errors import DataError
from secondread.packed import Packed
from secondread.readings.reading import Reading
from secondread.readings.table_reader import Table
from secondread.texts import Places, Texts, Words

Numbers = NDArray[np.float64]
NOT_SEEN = frozenset({"", "0", "no", "none", "false"})
TRUE = frozenset({"1", "true", "yes"})
UNJUDGED, NOT_FLAGGED, FLAGGED = range(3)
_FLAGS = (None, False, True)
_AT_ONCE = 256
_OTHERS = ("frame", "time_s", "score", "p_value", "score_without_complexity")
_PART, _BASELINE = "part_", "baseline_"


class PackedReadings(Packed[Reading]):
    """Readings in columns: their texts and some 130 bytes each, in place of some 1,500.

    What a reading lacks is NaN in `numbers`. Of equal paths the last stays, at its own place.
    """

    def __init__(self) -> None:
        self._texts = {name: Texts() for name in ("path", "digest", "study_id", "map")}
        self._words = {name: Words() for name in ("seen", "error", "remarks")}
        self._numbers: dict[str, array[float]] = {}
        self._flags = bytearray()
        self._directory = Path()

    @classmethod
    def read(cls, path: Path, name: str = "path", *, judged: bool = True) -> Self:
        """The rows of a table, whose paths stand in the column `name`; without flags where nothing was
        `judged`. Raises UserError and DataError as `Table`."""
        rows = _Rows(Table(path, (name, "score")), name, judged=judged)
        found = cls()
        found._directory = path.parent
        found._add(rows)
        found._numbers = rows.numbers
        return found._without_superseded()

    @classmethod
    def of(cls, rows: Sequence[Reading]) -> Self:
        """The same readings as columns."""
        if isinstance(rows, cls):
            return rows
        found = cls()
        found._add(_cells_of(row) for row in rows)
        columns = [(name, [_number(getattr(row, name)) for row in rows]) for name in _OTHERS]
        for prefix, kind in ((_PART, "parts"), (_BASELINE, "baselines")):
            columns += [
                (prefix + name, [_number(getattr(row, kind).get(name)) for row in rows])
                for name in dict.fromkeys(name for row in rows for name in getattr(row, kind))
            ]
        found._numbers = {name: array("d", values) for name, values in columns}
        return found

    def _add(self, rows: Iterable[tuple[Sequence[str], Sequence[str], int]]) -> None:
        texts, words = tuple(self._texts.values()), tuple(self._words.values())
        for of_texts, of_words, flag in rows:
            for column, text in zip(texts, of_texts, strict=True):
                column.append(text)
            for kept, text in zip(words, of_words, strict=True):
                kept.append(text)
            self._flags.append(flag)

    def _without_superseded(self) -> Self:
        """Without the rows whose path stands again later."""
        gone = self._places.superseded(self.paths.__getitem__)
        if not len(gone):
            return self
        kept = np.delete(np.arange(len(self)), gone).tolist()
        found = self._copy()
        found._texts = {name: Texts(texts[at] for at in kept) for name, texts in self._texts.items()}
        found._words = {name: Words(words[at] for at in kept) for name, words in self._words.items()}
        found._numbers = {
            name: array("d", (column[at] for at in kept)) for name, column in self._numbers.items()
        }
        found._flags = bytearray(self._flags[at] for at in kept)
        return found

    def _copy(self) -> Self:
        """Another of the same columns."""
        found = copy(self)
        for name in ("_places", "_columns"):
            found.__dict__.pop(name, None)
        return found

    def judged(self, numbers: Mapping[str, Numbers | None], flags: NDArray[np.bool_] | None) -> Self:
        """The same readings where those with a score have other numbers, by column, and flags."""
        found, scored = self._copy(), ~self.failed
        found._numbers = dict(self._numbers)
        for name, values in numbers.items():
            column = np.full(len(self), np.nan)
            column[scored] = np.nan if values is None else values
            found._numbers[name] = array("d", column.tobytes())
        told = np.zeros(len(self), np.uint8)
        told[scored] = UNJUDGED if flags is None else np.where(flags, FLAGGED, NOT_FLAGGED)
        found._flags = bytearray(told.tobytes())
        return found

    @property
    def paths(self) -> Texts:
        return self._texts["path"]

    @property
    def studies(self) -> Texts:
        """Their study ids."""
        return self._texts["study_id"]

    def text(self, name: str) -> Packed[str]:
        """A column of texts: `digest`, `map` as its table names it, `seen`, `error`, or `remarks`."""
        return self._texts[name] if name in self._texts else self._words[name]

    def remarks(self, at: int) -> tuple[str, ...]:
        told = self._words["remarks"].made(at)
        return tuple(part for part in told.split("; ") if part.strip()) if told else ()

    @property
    def failed(self) -> NDArray[np.bool_]:
        return np.isnan(self.numbers("score"))

    @property
    def flags(self) -> NDArray[np.uint8]:
        """UNJUDGED, NOT_FLAGGED or FLAGGED."""
        return np.frombuffer(self._flags, np.uint8)

    @property
    def named(self) -> tuple[str, ...]:
        """The columns of numbers."""
        return tuple(self._numbers)

    def numbers(self, name: str) -> Numbers:
        """A column of numbers, NaN where a reading lacks it: `score`, `p_value`, `part_NAME`, …"""
        column = self._numbers.get(name)
        return np.full(len(self), np.nan) if column is None else np.frombuffer(column, np.float64)

    def find(self, path: str) -> int | None:
        """The number of a path's reading; None = there is none."""
        return self._places.first(path, self.paths)

    @cached_property
    def _places(self) -> Places:
        return Places(self.paths)

    def __len__(self) -> int:
        return len(self._flags)

    def made(self, at: int) -> Reading:
        parts, baselines, *others = self._columns
        frame, time_s, score, p_value, without = (
            None if column is None or (value := column[at]) != value else value for column in others
        )
        place = self._texts["map"][at]
        return Reading(
            self.paths[at],
            self._texts["digest"][at],
            self.studies[at],
            None if frame is None else int(frame),
            time_s,
            score,
            p_value,
            _FLAGS[self._flags[at]],
            {name: value for name, column in parts if (value := column[at]) == value},
            {name: value for name, column in baselines if (value := column[at]) == value},
            without,
            self._words["seen"][at],
            self._words["error"][at],
            self._directory / place if place else None,
            self.remarks(at),
        )

    @cached_property
    def _columns(self) -> tuple[Any, ...]:
        """The columns of numbers by what readings call them."""
        parts, baselines = (
            [
                (name.removeprefix(prefix), column)
                for name, column in self._numbers.items()
                if name.startswith(prefix)
            ]
            for prefix in (_PART, _BASELINE)
        )
        return (parts, baselines, *map(self._numbers.get, _OTHERS))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


def each_reading(path: Path, name: str = "path", *, judged: bool = True) -> Iterator[Reading]:
    """The rows of a table one after the other, also those of a path that stands again; see
    `PackedReadings.read`."""
    rows = _Rows(Table(path, (name, "score")), name, judged=judged)
    one_by_one = iter(rows)
    while True:
        some = PackedReadings()
        some._directory = path.parent
        some._add(islice(one_by_one, _AT_ONCE))
        some._numbers = rows.taken()
        yield from some
        if len(some) < _AT_ONCE:
            return


class _Rows:
    """The cells of a table's rows as readings have them; `numbers` grow on the way."""

    def __init__(self, table: Table, name: str, *, judged: bool) -> None:
        self._table, self._judged = table, judged
        place = table.place
        self._at = {column: place.get(column) for column in _CELLS} | {"path": place[name]}
        ordered = ["score", "frame", "time_s", "p_value"]
        ordered += [column for prefix in (_PART, _BASELINE) for column in place if column.startswith(prefix)]
        ordered.append("score_without_complexity")
        self._read = [(column, place[column]) for column in ordered if column in place]
        self.numbers: dict[str, array[float]] = {column: array("d") for column, _ in self._read}

    def taken(self) -> dict[str, array[float]]:
        """The numbers so far, which begin anew."""
        found = {name: column[:] for name, column in self.numbers.items()}
        for column in self.numbers.values():
            del column[:]
        return found

    def __iter__(self) -> Iterator[tuple[Sequence[str], Sequence[str], int]]:
        at, score = self._at, self.numbers["score"]
        columns = [(name, place, self.numbers[name]) for name, place in self._read]
        for line, cells in self._table:
            for name, place, column in columns:
                text = cells[place].strip()
                try:
                    value = float(text) if text else math.nan
                except ValueError:
                    where = self._table.where(line)
                    raise DataError(f"{where}, column {name}: {text!r} is not a number") from None
                column.append(value if math.isfinite(value) else math.nan)
            path, digest, study, place_of_map, seen, error, remarks, flagged = (
                "" if (there := at[name]) is None else cells[there] for name in _CELLS
            )
            error, seen, told = error.strip(), seen.strip(), flagged.strip().lower()
            failed = score[-1] != score[-1]
            if failed and not error:
                error = "no finite score"
            if error:
                score[-1], failed = math.nan, True
            unjudged = failed or not told or not self._judged
            yield (
                [path, digest.strip(), study.strip(), place_of_map if place_of_map.strip() else ""],
                ["" if seen.lower() in NOT_SEEN else seen, error, remarks],
                UNJUDGED if unjudged else FLAGGED if told in TRUE else NOT_FLAGGED,
            )


def _cells_of(row: Reading) -> tuple[Sequence[str], Sequence[str], int]:
    return (
        [row.path, row.digest, row.study_id, "" if row.map is None else str(row.map)],
        [row.seen, row.error, "; ".join(row.remarks)],
        UNJUDGED if row.flagged is None else FLAGGED if row.flagged else NOT_FLAGGED,
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


_TEXTS = ("path", "digest", "study_id", "map")
_WORDS = ("seen", "error", "remarks")
_CELLS = (*_TEXTS, *_WORDS, "flagged")
