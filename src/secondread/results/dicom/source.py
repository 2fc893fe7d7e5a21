"""The stored DICOM instances that one image was read from, and the way from its map back to them.

A map lies on the grid of the file as `read_image` reads it (`Geometry.to_file_axes`): `[rows, columns]`, or
`[slices, rows, columns]` with slices in the order of their normal, which is seldom that of files or frames.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondread.errors import DataError
from secondread.images.dicom.dataset import quiet_pydicom, text
from secondread.images.dicom.geometry import NotAStack, Plane, frame_planes, plane_of
from secondread.images.dicom.mosaic import mosaic_planes, mosaic_tiles, put_together, tile_size
from secondread.images.dicom.numbers import header_of, whole_number
from secondread.images.dicom.series import Series, identity_of, series_in_folder, why_not_one_patient
from secondread.images.dicom.stack import at_one_place, stack
from secondread.images.dicom.volume import chosen_series
from secondread.images.image import ImageError
from secondread.images.several_files import files_of
from secondread.images.source import Reference, digest_of_parts, member_number
from secondread.preprocessing.cache.cache import fingerprint_of
from secondread.results.dicom.headers import gone, stored_header
from secondread.wording.short import Short
from secondread.wording.sizes import times

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True, repr=False)
class StoredPlane(Short):
    """One plane of the image: the instance that holds it, and where.

    header  the number of the instance among the source's `headers`
    frame   its number in the instance, from 1 as DICOM counts; None where that holds one frame
    place   where it lies in the patient, LPS millimetres; None where the header does not say
    slice   which slice of the map belongs to it; 0 where the map has two axes
    tile    of a mosaic: its number in the picture, from 0
    """

    header: int
    frame: int | None
    place: Plane | None
    slice: int
    tile: int | None = None


@dataclass(frozen=True, repr=False)
class Source(Short):
    """The DICOM instances behind one reading.

    reference  as the reading has it
    headers    one for each instance, without pixels, complete as `stored_header` says, in the order of the
               planes. Read their elements within `quiet_pydicom`
    planes     in the order of instances and frames as they are stored: for a series along the normal of its
               slices, for a multi-frame file as its frames follow one another. A mosaic gives each tile
    is_volume  whether the map has three axes
    tiles      how many slices the one picture of a mosaic holds; None where it is none
    beside     headers of further instances that were read as other channels of the same image (`a|b`)
    """

    reference: str
    headers: tuple[Dataset, ...]
    planes: tuple[StoredPlane, ...]
    is_volume: bool
    tiles: int | None = None
    beside: tuple[Dataset, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of each plane."""
        rows, columns = int(self.headers[0].Rows), int(self.headers[0].Columns)
        return (rows, columns) if self.tiles is None else tile_size(rows, columns, self.tiles)

    @property
    def slices(self) -> list[StoredPlane]:
        """The plane of each slice of the map, in the map's order; of frames that are there twice the
        first."""
        found: dict[int, StoredPlane] = {}
        for plane in self.planes:
            found.setdefault(plane.slice, plane)
        return [found[number] for number in range(len(found))]

    @property
    def frame_of_reference(self) -> str:
        """The FrameOfReferenceUID where every plane has a place in it; empty where the source states none."""
        said = {text(header, "FrameOfReferenceUID") for header in self.headers}
        placed = all(plane.place is not None for plane in self.planes)
        return said.pop() if len(said) == 1 and placed else ""

    def require_place(self) -> None:
        """Raises DataError where a volume, or a slice of a mosaic, does not say where it lies, without which
        nothing that is found in it can be shown in its place. A film and a clip have no place and need none.
        """
        if self.frame_of_reference:
            return
        unplaced = any(plane.place is None for plane in self.planes)
        if self.tiles is None and (unplaced or not self.is_volume):
            return
        if unplaced:
            what = "the header does not say the places of the mosaic's slices"
        elif len({text(header, "FrameOfReferenceUID") for header in self.headers}) > 1:
            what = "its slices have different values of FrameOfReferenceUID"
        else:
            what = "its header has no FrameOfReferenceUID"
        raise DataError(
            f"{self.reference}: {what}, without which a result cannot say where it lies in the patient; "
            "export it again, or use the map as NIfTI"
        )

    def slices_of(self, values: NDArray[Any]) -> NDArray[Any]:
        """A map on the file's grid as `[slices, rows, columns]`, a view. Raises DataError where it is of
        another size."""
        count = max(plane.slice for plane in self.planes) + 1
        expected = (count, *self.size) if self.is_volume else self.size
        if self.is_volume and count == 1 and values.shape == self.size:  # as the file of such a map is read
            return values[np.newaxis]
        if values.shape != expected:
            raise DataError(
                f"{self.reference}: the map has {times(values.shape)} values, and the file {times(expected)} "
                "pixels; read it again with secondread score"
            )
        return values if self.is_volume else values[np.newaxis]

    def planes_of(self, values: NDArray[Any]) -> NDArray[Any]:
        """The same as `[planes, rows, columns]`, plane by plane as the instances and frames lie; a view where
        the order is the same already."""
        slices, wanted = self.slices_of(values), [plane.slice for plane in self.planes]
        return slices if wanted == list(range(len(slices))) else slices[wanted]

    def pictures_of(self, values: NDArray[Any]) -> NDArray[Any]:
        """The same as `[pictures, Rows, Columns]`, pixel by pixel as the instances store them: `planes_of`,
        and for a mosaic its one picture. Where that holds no slice of the map it has the map's lowest
        value."""
        planes = self.planes_of(values)
        if self.tiles is None:
            return planes
        whole = np.full((self.tiles, *self.size), values.min(), values.dtype)
        whole[[plane.tile or 0 for plane in self.planes]] = planes
        return put_together(whole)[np.newaxis]


def read_source(reference: str, *, digest: str = "", fingerprint: str = "") -> Source:
    """The instances behind a reference, of which headers alone are read.

    reference    as `read_image` takes it: a file, `file#frame/N`, a folder of one series, `folder#key`, or
                 several of these as channels of one image, of which the first says where the map lies
    digest       the reading's: where it is given, the files must still hold what was read
    fingerprint  of the file when it was read (`Readings.fingerprints`); where it still holds, the digest is
                 not computed again

    Raises DataError, one line: the file is gone, is no DICOM, was changed since it was read, or its header
    lacks what a result must name.
    """
    try:
        with quiet_pydicom():
            return _read(reference, digest, fingerprint)
    except ImageError as error:
        raise DataError(str(error)) from error


@dataclass(frozen=True)
class _Found:
    """What lies behind one reference of a row: the instances, the planes, and the files in the order of which
    the image's digest is made."""

    headers: tuple[Dataset, ...]
    planes: tuple[StoredPlane, ...]
    files: tuple[Path, ...]
    is_volume: bool
    tiles: int | None = None
    of_series: bool = False

    def digest(self) -> str:
        each = [_digest(file) for file in self.files]
        return digest_of_parts(each) if self.of_series else each[0]


def _read(reference: str, digest: str, fingerprint: str) -> Source:
    parts = files_of(reference)
    first = _found(parts[0])
    others = [one for one in map(_found_beside, parts[1:]) if one is not None]
    if digest and not (fingerprint and fingerprint_of(reference) == fingerprint):
        now = first.digest() if len(parts) == 1 else _digest_of_all(parts, first)
        if now != digest:
            raise ImageError(
                reference, "the file was changed since it was read", "read it again with secondread score"
            )
    beside = tuple(header for one in others for header in one.headers)
    return Source(reference, first.headers, first.planes, first.is_volume, first.tiles, beside)


def _found(part: str) -> _Found:
    """The instances of one reference. Raises ImageError."""
    try:
        found = Reference.parse(part)
    except ImageError as error:
        raise gone(part) if "no such file" in error.problem else error from error
    with header_of(part):
        return _of_series(found) if found.path.is_dir() else _of_file(found)


def _found_beside(part: str) -> _Found | None:
    """The same for another channel; None where it is no DICOM, as a mask may be."""
    try:
        return _found(part)
    except ImageError as error:
        if "no DICOM" in error.problem:
            return None
        raise


def _digest_of_all(parts: Sequence[str], first: _Found) -> str:
    digests = [first.digest()]
    for part in parts[1:]:
        found = _found_beside(part)
        digests.append(_digest(Reference.parse(part).path) if found is None else found.digest())
    return digest_of_parts(digests)


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=20)).hexdigest()
    except OSError as error:
        raise ImageError(str(file), f"cannot be read ({error.strerror or 'no reason given'})") from error


def _of_series(found: Reference) -> _Found:
    """The slices of a series in the order of their normal. One that is there twice counts once: that their
    pixels are equal was seen when the volume was read."""
    state = fingerprint_of(str(found.path))
    below = series_in_folder(found.path) if state is None else _series_below(found.path, state)
    files = chosen_series(found, below).files
    headers = [stored_header(file, str(file)) for file in files]
    if mixed := why_not_one_patient(identity_of(header) for header in headers):
        raise ImageError(found.text, f"no single volume: {mixed}", "read the files as images, or part them")
    planes = []
    for file, header in zip(files, headers, strict=True):
        plane = plane_of(header)
        if plane is None:
            raise ImageError(
                str(file), "the slice has no position, orientation or spacing", "read the files as images"
            )
        planes.append(plane)
    order = [place[0] for place in at_one_place(planes)]
    if len({text(headers[index], "SOPInstanceUID") for index in order}) < len(order):
        raise ImageError(
            found.text,
            "several slices have one SOPInstanceUID, by which a result refers to each",
            "export it again",
        )
    try:
        stack([planes[index] for index in order])
    except NotAStack as reason:
        raise ImageError(found.text, f"no single volume: {reason}", "read the files as images") from reason
    return _Found(
        tuple(headers[index] for index in order),
        tuple(StoredPlane(n, None, planes[index], n) for n, index in enumerate(order)),
        tuple(files[index] for index in order),
        True,
        of_series=True,
    )


@lru_cache(maxsize=4)
def _series_below(folder: Path, state: str) -> list[Series]:
    """The series in a folder, looked for once while its files stay in their `state`: a folder of many series
    is named by as many readings."""
    return series_in_folder(folder)


def _of_file(found: Reference) -> _Found:
    header = stored_header(found.path, found.text)
    wanted = None if found.member is None else member_number(found, "frame")
    tiles = mosaic_tiles(header)
    frames = max(1, whole_number(header, "NumberOfFrames", 1)) if tiles is None else tiles
    if wanted is not None and wanted >= frames:
        raise ImageError(found.text, f"the file has frames 0 to {frames - 1}", "name one of these")
    if tiles is not None:
        places, _ = mosaic_planes(header, tiles)
        chosen = list(range(tiles)) if wanted is None else [wanted]
        planes = tuple(
            StoredPlane(0, None, places[tile] if places else None, n, tile) for n, tile in enumerate(chosen)
        )
        return _Found((header,), planes, (found.path,), wanted is None, tiles)
    if wanted is not None or frames == 1:
        number = None if frames == 1 else (wanted or 0) + 1
        plane = StoredPlane(0, number, plane_of(header, wanted or 0), 0)
        return _Found((header,), (plane,), (found.path,), False)
    try:
        stacked = frame_planes(header, frames)
        slices = _slices(stacked) if stacked else list(range(frames))
    except NotAStack as reason:
        raise ImageError(found.text, f"no single volume: {reason}", "name one frame") from reason
    return _Found(
        (header,),
        tuple(
            StoredPlane(0, frame + 1, stacked[frame] if stacked else None, slices[frame])
            for frame in range(frames)
        ),
        (found.path,),
        True,
    )


def _slices(planes: Sequence[Plane]) -> list[int]:
    """Which slice of the volume each frame became; copies of a frame became one with it."""
    places = at_one_place(planes)
    stack([planes[place[0]] for place in places])
    slices = [math.nan] * len(planes)
    for number, place in enumerate(places):
        for index in place:
            slices[index] = number
    return [int(number) for number in slices]
