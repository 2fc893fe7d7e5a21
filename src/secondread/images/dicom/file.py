"""One DICOM file becomes an image: a picture, a volume, or frames without positions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.colour import channels_first, refuse_non_finite
from secondread.images.dicom.dataset import parse_dicom, quiet_pydicom
from secondread.images.dicom.facts import about_loss, about_photometric, acquisition_facts
from secondread.images.dicom.geometry import NotAStack, Plane, flat_geometry, frame_planes, plane_geometry
from secondread.images.dicom.mosaic import mosaic_planes, mosaic_tiles, take_apart
from secondread.images.dicom.numbers import header_of
from secondread.images.dicom.pixels import frame_count, stored_values
from secondread.images.dicom.regions import region_facts
from secondread.images.dicom.stack import stack, without_copies
from secondread.images.dicom.suv import suv_facts
from secondread.images.dicom.times import frame_times
from secondread.images.dicom.values import physical_values
from secondread.images.image import FRAMES_IN_TIME, Geometry, Image, ImageError
from secondread.images.kept_file import made_once
from secondread.images.limits import ReadLimits
from secondread.images.orientation import turned
from secondread.images.source import Reference, digest_of, member_number

if TYPE_CHECKING:
    from pydicom import Dataset


def read_dicom(reference: Reference, data: bytes, limits: ReadLimits) -> Image:
    """The image in a DICOM file.

    One frame, or `path#frame/N`: 2-D. Several frames with positions, or a mosaic: a volume in the one
    orientation of all volumes (see `orientation`). Several frames without positions of their own (a cine, a
    set of captures): still of rank 3, in the file's order, and a remark says that the first axis is not
    space. Frames with positions that make no volume (several orientations, several frames at one place) are
    read one by one only. Raises ImageError.
    """
    with quiet_pydicom(), header_of(reference.text):
        return _read(reference, data, limits)


def _read(reference: Reference, data: bytes, limits: ReadLimits) -> Image:
    path = reference.text
    dataset = made_once(data, "dataset", lambda: parse_dicom(path, data, limits))
    unsaid = made_once(data, "remarks", lambda: about_photometric(dataset))
    wanted = None if reference.member is None else member_number(reference, "frame")
    tiles = mosaic_tiles(dataset)
    stored, photometric = stored_values(path, dataset, limits, wanted if tiles is None else None)
    frames = list(range(frame_count(dataset))) if wanted is None or tiles else [wanted]
    values = physical_values(path, dataset, stored, photometric, frames)
    pixels, padding, remarks = values.pixels, values.padding, values.remarks
    if tiles is not None:
        pixels, padding = (
            take_apart(pixels[0], tiles),
            None if padding is None else take_apart(padding[0], tiles),
        )
        planes, said = mosaic_planes(dataset, tiles)
        remarks = (*remarks, *said)
    else:
        planes = _planes(path, dataset, frames)
    if tiles is not None and wanted is not None:
        if wanted >= tiles:
            raise ImageError(path, f"the mosaic has slices 0 to {tiles - 1}")
        pixels, padding = (
            pixels[wanted : wanted + 1],
            None if padding is None else padding[wanted : wanted + 1],
        )
        geometry = plane_geometry(planes[wanted]) if planes else Geometry()
    elif len(frames) == 1 and tiles is None:
        geometry = flat_geometry(dataset, frames[0])
    elif planes is None:
        told = (
            f"{len(pixels)} frames without positions: the first axis is time or a mere collection, not space"
        )
        geometry = Geometry(remarks=(told,))
    else:
        pixels, padding, geometry = _stacked(path, pixels, padding, planes)
    if len(pixels) == 1 and geometry.file_axes is None:
        pixels, padding = pixels[0], None if padding is None else padding[0]
    facts = acquisition_facts(dataset)
    if len(frames) > 1 and planes is None and frame_times(dataset, len(frames)):
        facts[FRAMES_IN_TIME] = "yes"
    facts |= suv_facts(dataset) | region_facts(dataset)
    facts["file_bytes"] = str(len(data))
    facts["mode"] = photometric
    pixels = channels_first(pixels, facts)
    refuse_non_finite(path, pixels, padding)
    if padding is not None and np.issubdtype(pixels.dtype, np.floating):
        pixels = np.where(np.isfinite(pixels), pixels, _lowest(pixels))
    geometry = replace(geometry, remarks=(*geometry.remarks, *remarks, *unsaid, *about_loss(facts)))
    return Image(pixels, geometry, path, digest_of(data), values.voi, padding, facts)


def _lowest(pixels: NDArray[np.generic]) -> np.generic:
    """The lowest finite value: what declared padding that is NaN or infinite is replaced by."""
    finite = pixels[np.isfinite(pixels)]
    return finite.min() if finite.size else pixels.dtype.type(0)


def _planes(path: str, dataset: Dataset, frames: list[int]) -> list[Plane] | None:
    try:
        return frame_planes(dataset, len(frames)) if len(frames) > 1 else None
    except NotAStack as reason:
        raise ImageError(path, f"no single volume: {reason}", "name one frame with #frame/N") from reason


def _stacked(
    path: str, pixels: NDArray[Any], padding: NDArray[np.bool_] | None, planes: list[Plane]
) -> tuple[NDArray[Any], NDArray[np.bool_] | None, Geometry]:
    """Frames `[frames, rows, columns, channels]` as a volume; a frame that is there twice counts once."""
    kept, copies = without_copies(planes, lambda a, b: bool(np.array_equal(pixels[a], pixels[b])))
    try:
        order, geometry = stack([planes[index] for index in kept])
    except NotAStack as reason:
        raise ImageError(path, f"no single volume: {reason}", "name one frame with #frame/N") from reason
    chosen = [kept[index] for index in order]
    if chosen != list(range(len(pixels))):
        pixels, padding = pixels[chosen], None if padding is None else padding[chosen]
    pixels, padding, geometry = turned(pixels, padding, geometry)
    return pixels, padding, replace(geometry, remarks=(*geometry.remarks, *copies))
