"""What was seen of each row of a manifest, on the disk: ten million rows take as little memory as ten."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from secondread.cohorts.checking.inspection import Inspection
from secondread.cohorts.remarks import kind_of
from secondread.cohorts.row import Row, patient_of
from secondread.images.image import ImageError
from secondread.outputs.temporary_database import TemporaryDatabase, restored, stored
from secondread.wording.sizes import times

MOST_FACTS = 500
"""Names of facts; `images.acquisition` has some forty."""
_AT_ONCE = 500
_SEEN = (
    "n INTEGER PRIMARY KEY, path, split, label, known_by, whose, mask, unread, content, digest, size, rank, "
    "files, channels, modality, constant, mask_problem, mask_empty"
)


@dataclass(frozen=True)
class Remark:
    """One kind of remark: its number in the table and the first of its kind, whole."""

    number: int
    example: str


class SeenTable:
    """The tables of one check. `add` takes rows in the manifest's order, and `finish` ends that.

    seen     one line a row, n from 0; `unread` says why a file gave no image, and then all after it is NULL;
             `known_by` and `whose` are the two parts of `patient_of`, NULL where the image counts alone
    facts    one line for each labelled image that was read, with a column for each fact
    remarked (kind, n) for each remark

    Raises UserError where the disk is full.
    """

    def __init__(self, most_pages: int | None = None) -> None:
        self.data = TemporaryDatabase("what was seen of the images", most_pages)
        self.data.run(f"CREATE TABLE seen ({_SEEN})")
        self.data.run("CREATE TABLE facts (n INTEGER PRIMARY KEY, abnormal)")
        self.data.run("CREATE TABLE remarked (kind, n, PRIMARY KEY (kind, n)) WITHOUT ROWID")
        self.facts: dict[str, str] = {}
        self.remarks: dict[str, Remark] = {}
        self.rows = 0
        self._seen: list[tuple[Any, ...]] = []
        self._facts: list[tuple[Any, ...]] = []
        self._remarked: list[tuple[int, int]] = []

    def add(self, row: Row, seen: Inspection | ImageError) -> None:
        n = self.rows
        self.rows += 1
        known_by, _, whose = patient_of(row).partition(" ")
        known: tuple[Any, ...] = (
            n,
            stored(row.path),
            stored(row.split),
            stored(row.label),
            *((None, None) if known_by == "image" else (known_by, stored(whose))),
        )
        if isinstance(seen, ImageError):
            unread = f"{seen.problem}; {seen.advice}" if seen.advice else seen.problem
            self._seen.append((*known, None, stored(unread), *[None] * 10))
        else:
            self._seen.append(
                (
                    *known,
                    stored(row.mask) or None,
                    None,
                    stored(seen.content),
                    stored(seen.digest),
                    times(seen.size),
                    len(seen.size),
                    seen.files,
                    seen.channels,
                    stored(seen.modality),
                    seen.constant,
                    stored(seen.mask_problem) or None,
                    seen.mask_empty,
                )
            )
            for remark in seen.remarks:
                kind = self.remarks.setdefault(kind_of(remark), Remark(len(self.remarks), remark))
                self._remarked.append((kind.number, n))
            if row.label:
                self._add_facts(n, row.label == "abnormal", seen.facts)
        if len(self._seen) >= _AT_ONCE:
            self.finish()

    def _add_facts(self, n: int, abnormal: bool, facts: dict[str, float | str]) -> None:
        for name in facts:
            if name not in self.facts and len(self.facts) < MOST_FACTS:
                self._write_facts()
                column = self.facts[name] = f"fact_{len(self.facts)}"
                self.data.run(f"ALTER TABLE facts ADD COLUMN {column}")
        self._facts.append((n, abnormal, *(_cell(facts.get(name)) for name in self.facts)))

    def finish(self) -> None:
        """Write what waits to be written."""
        marks = ", ".join("?" * (_SEEN.count(",") + 1))
        self.data.add(f"INSERT INTO seen VALUES ({marks})", self._seen)
        self.data.add("INSERT OR IGNORE INTO remarked VALUES (?, ?)", self._remarked)
        self._write_facts()
        self._seen.clear()
        self._remarked.clear()

    def _write_facts(self) -> None:
        marks = ", ".join("?" * (len(self.facts) + 2))
        self.data.add(f"INSERT INTO facts VALUES ({marks})", self._facts)
        self._facts.clear()

    def images(self, those: str, *values: Any) -> Images:
        """The images of a query that begins at FROM, such as `FROM seen WHERE constant ORDER BY n`."""
        return Images(self.data, f"SELECT path {those}", values)

    def close(self) -> None:
        self.data.close()


@dataclass(frozen=True)
class Images(Iterable[str]):
    """Paths of images, as the manifest writes them; asked for anew whenever they are looked through."""

    data: TemporaryDatabase
    query: str
    values: tuple[Any, ...] = ()

    def __iter__(self) -> Iterator[str]:
        return (restored(path) for (path,) in self.data.rows(self.query, self.values))

    def first(self, most: int) -> list[str]:
        return list(islice(self, most))

    @property
    def count(self) -> int:
        (found,) = self.data.one(f"SELECT COUNT(*) FROM ({self.query})", self.values)
        return int(found)


@dataclass(frozen=True)
class Together(Iterable[str]):
    """Some images, and then others."""

    parts: tuple[Images, ...]

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self.parts)


def _cell(fact: float | str | None) -> float | str | bytes | None:
    """A fact as it lies in the table, which has no NaN; as infinity it is no number that counts either."""
    if isinstance(fact, str):
        return stored(fact)
    return math.inf if fact != fact else fact
