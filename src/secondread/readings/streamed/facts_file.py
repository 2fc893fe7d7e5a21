"""`facts.jsonl` read line by line, and where each image's line stands in it; a line holds a picture."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

from secondread.readings.table_reader import facts_of
from secondread.texts import Places, Texts

Line = dict[str, Any]


class FactsFile:
    """The whole lines of a file, each image once: at its first place, as its last line says it. Closed at the
    end of a `with` block. A file that is missing has no line.

    paths   of the images, in order
    names   of all facts
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] | None = None
        self._begins = array("Q")
        self.paths = Texts()
        self.names: set[str] = set()
        if path.is_file():
            self._file = path.open("rb")
            begin = 0
            for raw in self._file:
                if line := facts_of(raw):
                    self._begins.append(begin)
                    self.paths.append(str(line["path"]))
                    self.names.update(line["facts"])
                begin += len(raw)
        self._places = Places(self.paths)
        if again := self._again():
            self._begins = array("Q", (begin for at, begin in enumerate(self._begins) if at not in again))
            self.paths = Texts(path for at, path in enumerate(self.paths) if at not in again)
            self._places = Places(self.paths)
            self.names = {name for line in self for name in line["facts"]}

    def _again(self) -> set[int]:
        """The places of paths that stand earlier; there, the last line of each counts from now on."""
        first: dict[str, int] = {}
        again: set[int] = set()
        for at in self._places.doubtful.tolist():
            earlier = first.setdefault(self.paths[at], at)
            if earlier != at:
                self._begins[earlier] = self._begins[at]
                again.add(at)
        return again

    def __len__(self) -> int:
        return len(self._begins)

    def __getitem__(self, at: int) -> Line:
        assert self._file is not None
        self._file.seek(self._begins[at])
        return dict(json.loads(self._file.readline()))

    def __iter__(self) -> Iterator[Line]:
        return (self[at] for at in range(len(self)))

    def find(self, path: str) -> int | None:
        """The number of an image's line; None where there is none."""
        return self._places.first(path, self.paths)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
