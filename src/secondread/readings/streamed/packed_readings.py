"""The readings of a run in little memory, each a `Reading` when it is asked for."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from secondread.packed import Packed
from secondread.readings.reading import Reading
from secondread.readings.streamed.reading_blocks import (
    BASELINE,
    FLAGGED,
    NOT_FLAGGED,
    PART,
    TEXTS,
    UNJUDGED,
    WORDS,
    Block,
    ReadingBlocks,
)
from secondread.readings.table_reader import Table
from secondread.texts import Places, Texts, Words

Numbers = NDArray[np.float64]
_Named = list[tuple[str, "array[float]"]]
_FLAGS = (None, False, True)
_OTHERS = ("frame", "time_s", "score", "p_value", "score_without_complexity")


class PackedReadings(Packed[Reading]):
    """Readings in columns: their texts and some 130 bytes each, in place of some 1,500.

    What a reading lacks is NaN in `numbers`. Of equal paths the last stays, at its own place.
    """

    def __init__(self) -> None:
        self._texts = {name: Texts() for name in TEXTS}
        self._words = {name: Words() for name in WORDS}
        self._numbers: dict[str, array[float]] = {}
        self._flags = bytearray()
        self._directory = Path()

    @classmethod
    def read(cls, path: Path, name: str = "path", *, judged: bool = True) -> Self:
        """The rows of a table, whose paths stand in the column `name`; without flags where nothing was
        `judged`. Raises UserError and DataError as `Table`."""
        blocks = ReadingBlocks(Table(path, (name, "score")), name, judged=judged)
        found = cls()
        found._directory = path.parent
        for block in blocks:
            found._add(block)
        found._numbers = blocks.numbers
        return found._without_superseded()

    @classmethod
    def of(cls, rows: Sequence[Reading]) -> Self:
        """The same readings as columns."""
        if isinstance(rows, cls):
            return rows
        found = cls()
        found._add(_block_of(rows))
        columns = [(name, [_number(getattr(row, name)) for row in rows]) for name in _OTHERS]
        for prefix, kind in ((PART, "parts"), (BASELINE, "baselines")):
            columns += [
                (prefix + name, [_number(getattr(row, kind).get(name)) for row in rows])
                for name in dict.fromkeys(name for row in rows for name in getattr(row, kind))
            ]
        found._numbers = {name: array("d", values) for name, values in columns}
        return found

    def _add(self, block: Block) -> None:
        for column, texts in zip(self._texts.values(), block.texts, strict=True):
            column.extend(texts)
        for kept, texts in zip(self._words.values(), block.words, strict=True):
            kept.extend(texts)
        self._flags += block.flags

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
        return remarks_of(self._words["remarks"].made(at))

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
        return self._reading(
            at,
            [column.made(at) for column in self._texts.values()],
            [column.made(at) for column in self._words.values()],
            [None if column is None else column[at] for column in self._columns[2]],
        )

    def __iter__(self) -> Iterator[Reading]:
        """What `made` gives, in a fraction of the time."""
        many = len(self)
        others = (repeat(None, many) if column is None else column for column in self._columns[2])
        return map(
            self._reading,
            range(many),
            zip(*self._texts.values(), strict=True),
            zip(*self._words.values(), strict=True),
            zip(*others, strict=True),
        )

    def _reading(
        self, at: int, texts: Sequence[str], words: Sequence[str], others: Sequence[float | None]
    ) -> Reading:
        parts, baselines, _ = self._columns
        path, digest, study, place = texts
        seen, error, remarks = words
        frame, time_s, score, p_value, without = (None if value != value else value for value in others)
        return Reading(
            path,
            digest,
            study,
            None if frame is None else int(frame),
            time_s,
            score,
            p_value,
            _FLAGS[self._flags[at]],
            {name: value for name, column in parts if (value := column[at]) == value},
            {name: value for name, column in baselines if (value := column[at]) == value},
            without,
            seen,
            error,
            self._directory / place if place else None,
            remarks_of(remarks),
        )

    @cached_property
    def _columns(self) -> tuple[_Named, _Named, list[array[float] | None]]:
        """The columns of numbers by what readings call them."""
        parts, baselines = (
            [
                (name.removeprefix(prefix), column)
                for name, column in self._numbers.items()
                if name.startswith(prefix)
            ]
            for prefix in (PART, BASELINE)
        )
        return parts, baselines, [self._numbers.get(name) for name in _OTHERS]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


def each_reading(path: Path, name: str = "path", *, judged: bool = True) -> Iterator[Reading]:
    """The rows of a table one after the other, also those of a path that stands again; see
    `PackedReadings.read`."""
    blocks = ReadingBlocks(Table(path, (name, "score")), name, judged=judged)
    for block in blocks:
        some = PackedReadings()
        some._directory = path.parent
        some._add(block)
        some._numbers = blocks.taken()
        yield from some


def remarks_of(cell: str) -> tuple[str, ...]:
    """The remarks that stand in a table's cell."""
    return tuple(part for part in cell.split("; ") if part.strip()) if cell else ()


def _block_of(rows: Sequence[Reading]) -> Block:
    return Block(
        [
            [row.path for row in rows],
            [row.digest for row in rows],
            [row.study_id for row in rows],
            ["" if row.map is None else str(row.map) for row in rows],
        ],
        [
            [row.seen for row in rows],
            [row.error for row in rows],
            ["; ".join(row.remarks) for row in rows],
        ],
        bytes(UNJUDGED if row.flagged is None else FLAGGED if row.flagged else NOT_FLAGGED for row in rows),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
