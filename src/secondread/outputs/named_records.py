"""Many records under their names in little memory: they lie on the disk, and are gone with the process."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import IO, Generic, TypeVar

from secondread.outputs.temporary import room_for, temporary_file
from secondread.texts import Places

_LENGTH = 4

T = TypeVar("T")


class NamedRecords(Mapping[str, T], Generic[T]):
    """Records, each read when it is asked for; 24 bytes a record are held. Of equal names the last counts.

    what   what they hold, for the one line where the disk is full
    fill   gives names and bytes, the first time that anything is asked for
    read   what the bytes of one record say
    """

    def __init__(
        self, what: str, fill: Callable[[], Iterator[tuple[str, bytes]]], read: Callable[[bytes], T]
    ) -> None:
        self._what, self._fill, self._read = what, fill, read
        self._file: IO[bytes] | None = None
        self._ends = array("Q")
        self._next = 0

    def _filled(self) -> IO[bytes]:
        if self._file is not None:
            return self._file
        file = temporary_file(self)
        ends, hashes, end = array("Q"), array("q"), 0
        with room_for(self._what):
            for name, record in self._fill():
                key = name.encode("utf-8", "surrogatepass")
                end += file.write(len(key).to_bytes(_LENGTH, "little") + key + record)
                ends.append(end)
                hashes.append(hash(name))
            file.flush()
        self._file, self._ends, self._places = file, ends, Places.of_hashes(hashes)
        self._superseded = set(self._places.superseded(lambda at: self._at(file, at)[0]).tolist())
        return file

    def _at(self, file: IO[bytes], at: int) -> tuple[str, bytes]:
        begin = self._ends[at - 1] if at else 0
        file.seek(begin)
        found = file.read(self._ends[at] - begin)
        end = _LENGTH + int.from_bytes(found[:_LENGTH], "little")
        return found[_LENGTH:end].decode("utf-8", "surrogatepass"), found[end:]

    def _found(self, name: object) -> bytes | None:
        """The record of a name; most are asked for in order."""
        if not isinstance(name, str):
            return None
        file = self._filled()
        for at in chain((self._next,), self._others(name)) if self._ends else ():
            if at not in self._superseded:
                own, record = self._at(file, at)
                if own == name:
                    self._next = (at + 1) % len(self._ends)
                    return record
        return None

    def _others(self, name: str) -> Iterator[int]:
        """Where a name may stand, looked up when the first is asked for."""
        yield from reversed(self._places.of(name))

    def __getitem__(self, name: str) -> T:
        record = self._found(name)
        if record is None:
            raise KeyError(name)
        return self._read(record)

    def __contains__(self, name: object) -> bool:
        return self._found(name) is not None

    def __iter__(self) -> Iterator[str]:
        file = self._filled()
        return (self._at(file, at)[0] for at in range(len(self._ends)) if at not in self._superseded)

    def __len__(self) -> int:
        self._filled()
        return len(self._ends) - len(self._superseded)
