"""What lies beside a table of readings, looked up on the disk: acquisition facts, thumbnails, and what only
`facts.jsonl` says. It is read when the first of it is asked for, so that damage is told then."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from secondread.errors import DataError
from secondread.outputs.named_records import NamedRecords
from secondread.readings.table_reader import FACTS, Table, files_of, read_facts

_AT_ONCE = 512
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
Facts = Mapping[str, str]
Thumbnail = NDArray[np.float32]


def acquisition_in(folder: Path) -> Mapping[str, Facts]:
    """Path -> facts about how the image was made and stored; each image has all of them, those that its table
    lacks empty."""
    names: dict[str, None] = {}
    files = _files(folder / "acquisition.csv")

    def fill() -> Iterator[tuple[str, bytes]]:
        names.clear()
        for path in files:
            table = Table(path, ("path",))
            at = table.place["path"]
            places = {name: place for name, place in table.place.items() if name != "path"}
            names.update(dict.fromkeys(places))
            order = [places.get(name) for name in names]
            for _, cells in table:
                told = ["" if place is None else cells[place] for place in order]
                yield cells[at], json.dumps(told).encode()

    def read(record: bytes) -> Facts:
        told = json.loads(record)
        return dict(zip(names, told + [""] * (len(names) - len(told)), strict=True))

    return NamedRecords("acquisition facts", fill, read)


def thumbnails_in(folder: Path) -> Mapping[str, Thumbnail]:
    """Path -> float32 `[16, 16]`."""
    files = _files(folder / "thumbnails.npz")

    def fill() -> Iterator[tuple[str, bytes]]:
        for path in files:
            yield from _thumbnails(path)

    return NamedRecords("thumbnails", fill, lambda record: np.frombuffer(record, np.float32).reshape(16, 16))


def fingerprints_in(folder: Path) -> Mapping[str, str]:
    """Path -> its file's fingerprint when it was read, where that is known."""
    return _told(folder, "fingerprints", lambda line: line.get("fingerprint"))


def patients_in(folder: Path) -> Mapping[str, str]:
    """Path -> hashed patient, as the runs into the folder wrote them."""
    return _told(folder, "hashed patients", lambda line: line.get("patient", ""))


def _told(folder: Path, what: str, told: Callable[[dict[str, Any]], Any]) -> Mapping[str, str]:
    place = folder.absolute() / FACTS

    def fill() -> Iterator[tuple[str, bytes]]:
        for line in read_facts(place):
            if isinstance(text := told(line), str):
                yield str(line["path"]), text.encode("utf-8", "surrogatepass")

    return NamedRecords(what, fill, lambda record: record.decode("utf-8", "surrogatepass"))


def _files(path: Path) -> list[Path]:
    return [file.absolute() for file in files_of(path)]


def _thumbnails(path: Path) -> Iterator[tuple[str, bytes]]:
    """The names and pictures of an archive as `numpy.savez` writes it, a few at a time."""
    try:
        with (
            zipfile.ZipFile(path) as archive,
            archive.open("paths.npy") as one,
            archive.open("thumbnails.npy") as other,
        ):
            (count, *_), names = _array(one)
            shape, pictures = _array(other)
            if tuple(shape) != (count, 16, 16) or pictures.kind != "f" or names.kind not in "Uf":
                raise ValueError("not one thumbnail of 16×16 for each path")
            for begin in range(0, count, _AT_ONCE):
                many = min(_AT_ONCE, count - begin)
                found = np.frombuffer(_read(one, many * names.itemsize), names)
                values = np.frombuffer(_read(other, many * 256 * pictures.itemsize), pictures)
                values = values.astype(np.float32, copy=False).reshape(many, 256)
                for name, picture in zip(found.tolist(), values, strict=True):
                    yield str(name), picture.tobytes()
            if one.read(1) or other.read(1):  # at its end a member's check sum is looked at
                raise ValueError("more than its header says")
    except Exception as error:  # archives raise many kinds where a byte is wrong
        raise DataError(f"{path}: damaged ({error}); run the same `score` again") from None


def _array(file: IO[bytes]) -> tuple[Sequence[int], np.dtype[Any]]:
    """Shape and type of an array that is written row by row."""
    shape, by_columns, kind = _HEADERS[npy.read_magic(file)](file)
    if by_columns and len(shape) > 1:
        raise ValueError("written column by column")
    if kind.hasobject:
        raise ValueError("holds objects")
    return shape, kind


def _read(file: IO[bytes], size: int) -> bytes:
    found = file.read(size)
    if len(found) != size:
        raise ValueError("cut short")
    return found
