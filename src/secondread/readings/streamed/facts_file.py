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
    end of a `with` block. A file that is missing has no line."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] | None = None
        self._begins = array("Q")
        paths = Texts()
        if path.is_file():
            self._file = path.open("rb")
            begin = 0
            for raw in self._file:
                if line := facts_of(raw):
                    self._begins.append(begin)
                    paths.append(str(line["path"]))
                begin += len(raw)
        self._places = Places(self._only_last(paths))

    def _only_last(self, paths: Texts) -> Texts:
        first: dict[str, int] = {}
        again: set[int] = set()
        for at in Places(paths).doubtful.tolist():
            earlier = first.setdefault(paths[at], at)
            if earlier != at:
                self._begins[earlier] = self._begins[at]
                again.add(at)
        if not again:
            return paths
        self._begins = array("Q", (begin for at, begin in enumerate(self._begins) if at not in again))
        return Texts(path for at, path in enumerate(paths) if at not in again)

    def __len__(self) -> int:
        return len(self._begins)

    def __getitem__(self, at: int) -> Line:
        assert self._file is not None
        self._file.seek(self._begins[at])
        return dict(json.loads(self._file.readline()))

    def __iter__(self) -> Iterator[Line]:
        return (self[at] for at in range(len(self)))

    def find(self, path: str) -> tuple[int, Line] | None:
        """The number and line of an image; None where there is none."""
        for at in self._places.of(path):
            if (line := self[at])["path"] == path:
                return at, line
        return None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
