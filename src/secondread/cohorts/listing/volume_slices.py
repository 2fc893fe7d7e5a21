"""Volumes in one file as rows of slices, for methods that take pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from secondread.cohorts.listing.file_reading import reason_of
from secondread.cohorts.listing.set_aside import SetAside
from secondread.cohorts.row import Row, shared_file
from secondread.errors import UserError
from secondread.images.formats.nifti_slices import PLANES, Plane, slice_member
from secondread.images.header import Header
from secondread.images.several_files import SEPARATOR, files_of, under
from secondread.images.workers.map_in_workers import map_in_workers
from secondread.images.workers.outcome import Failed
from secondread.wording.numbers import count

SLICE = "slice"
"""The manifest's column with a slice's number in its volume."""
_RANGE = re.compile(r"\s*([0-9.]+)\s*(%?)\s*[-:]\s*([0-9.]+)\s*(%?)\s*")


@dataclass(frozen=True)
class SliceChoice:
    """Which slices of a volume are listed: of which plane, and from which to which, both included; numbers
    from 0, or shares of the volume where `shares`."""

    plane: Plane = "axial"
    first: float = 0.0
    last: float = 1.0
    shares: bool = True

    @classmethod
    def parse(cls, plane: Plane, text: str | None) -> SliceChoice:
        """`60-100`, or `30%-70%` of each volume; None = all. Raises UserError for anything else."""
        if text is None:
            return cls(plane)
        found = _RANGE.fullmatch(text)
        try:
            if found is None or found[2] != found[4]:
                raise ValueError
            first, last = float(found[1]), float(found[3])
            if first > last or (found[2] and last > 100):
                raise ValueError
        except ValueError:
            raise UserError(
                f"--slices {text}: give the first and the last, such as 60-100 or 30%-70%"
            ) from None
        if found[2]:
            return cls(plane, first / 100, last / 100)
        return cls(plane, first, last, shares=False)

    @property
    def axis(self) -> int:
        return PLANES.index(self.plane)

    def of(self, length: int, every: int) -> range:
        """The numbers of the slices of a volume that has `length` of them."""
        if not self.shares:
            return range(int(self.first), min(int(self.last) + 1, length), every)
        return range(int(self.first * length + 0.5), min(int(self.last * length + 0.5), length), every)


class InSlices:
    """Rows with each volume in one file as rows of slices, each a picture; asked with some rows after
    the others.

    aside   what could not be read

    The volume is the study of its slices, unless the row names one. A slice of a volume with a mask is
    outlined by the mask's slice; it is abnormal where that marks something, and else normal, for the
    volume's label is of all its slices together.
    """

    def __init__(
        self, headers: Mapping[str, Header], base: Path, choice: SliceChoice, every: int, workers: int
    ) -> None:
        self._headers, self._base, self._choice = headers, base, choice
        self._every, self._workers = every, workers
        self._volumes = self._slices = self._clean = 0
        self.aside: list[SetAside] = []

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        base, choice = self._base, self._choice
        volumes = [row for row in rows if _is_volume(row, self._headers, base)]
        marks = _marks([row for row in volumes if row.mask], base, choice.axis, self._workers)
        self._volumes += len(volumes)
        found: list[Row] = []
        chosen = set(map(id, volumes))
        for row in rows:
            if id(row) not in chosen:
                found.append(row)
                continue
            marked = marks.get(row.mask) if row.mask else None
            if isinstance(marked, SetAside):
                self.aside.append(replace(marked, path=row.path))
                continue
            length = self._headers[_first(row, base)].size[choice.axis]
            if marked is not None and marked[1] != length:
                reason = f"its mask has {marked[1]} {choice.plane} slices, and the image {length}"
                self.aside.append(SetAside(row.path, reason, unreadable=True))
                continue
            slices = [
                _slice(row, base, choice.plane, number, None if marked is None else number in marked[0])
                for number in choice.of(length, self._every)
            ]
            self._slices += len(slices)
            self._clean += sum(each.label == "normal" and row.label != "normal" for each in slices)
            found += slices
        return found

    @property
    def notes(self) -> list[str]:
        """What is to be said of all rows so far."""
        notes = []
        if self._volumes:
            listed = count(self._slices, f"{self._choice.plane} slice")
            notes.append(f"{count(self._volumes, 'volume')} as {listed}; each volume is a study")
        if self._clean:
            notes.append(
                f"{count(self._clean, 'slice')} in which the volume's mask marks nothing became normal"
            )
        return notes


def _is_volume(row: Row, headers: Mapping[str, Header], base: Path) -> bool:
    header = headers.get(_first(row, base))
    return header is not None and header.has_slices


def _first(row: Row, base: Path) -> str:
    """The file of a row, or its first."""
    first = files_of(row.path, base)[0]
    return shared_file(first) or first


def _slice(row: Row, base: Path, plane: Plane, number: int, marked: bool | None) -> Row:
    mask = _parts(row.mask, base, plane, number) if row.mask and marked else ""
    label = row.label if marked is None else "abnormal" if marked else "normal"
    return replace(
        row,
        path=_parts(row.path, base, plane, number),
        mask=mask,
        label=label,
        finding=row.finding if label == "abnormal" else "",
        study_id=row.study_id or row.path,
        extra={**row.extra, SLICE: str(number)},
    )


def _parts(reference: str, base: Path, plane: Plane, number: int) -> str:
    """Each file of a reference with the slice, also where it names a frame already."""
    member = slice_member(plane, number)
    return SEPARATOR.join(
        f"{file}/{member}" if shared_file(file) else f"{file}#{member}" for file in files_of(reference, base)
    )


def _marks(
    rows: Sequence[Row], base: Path, axis: int, workers: int
) -> dict[str, tuple[frozenset[int], int] | SetAside]:
    """Of each mask the numbers of the slices in which it marks something, and how many slices it has."""
    masks = list(dict.fromkeys(row.mask for row in rows))
    items = [(under(base, mask), axis) for mask in masks]
    results = map_in_workers(marked_slices, items, workers=min(workers, len(items)))
    found: dict[str, tuple[frozenset[int], int] | SetAside] = {}
    for mask, result in zip(masks, results, strict=True):
        if isinstance(result, Failed):
            found[mask] = SetAside(mask, f"its mask {mask}: {reason_of(result.error)}", unreadable=True)
        else:
            numbers, length = result.value
            found[mask] = frozenset(numbers), length
    return found


def marked_slices(item: tuple[str, int]) -> tuple[tuple[int, ...], int]:
    """The slices along an axis in which a mask marks something, and how many there are. Raises ImageError."""
    from secondread.images.read import read_image

    reference, axis = item
    mask = read_image(reference, as_volume=True)
    marked = (mask.pixels != 0).any(axis=0)
    others = tuple(other for other in range(3) if other != axis)
    return tuple(int(at) for at in np.flatnonzero(marked.any(axis=others))), marked.shape[axis]
