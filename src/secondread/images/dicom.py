"""One DICOM file becomes an image: a picture, a volume, or frames without positions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondread.images.colour import channels_first, refuse_non_finite
from secondread.images.dicom_dataset import parse_dicom, quiet_pydicom
from secondread.images.dicom_facts import acquisition_facts
from secondread.images.dicom_geometry import NotAStack, flat_geometry, frame_planes, stack
from secondread.images.dicom_pixels import frame_count, stored_values
from secondread.images.dicom_values import physical_values
from secondread.images.image import Geometry, Image
from secondread.images.limits import ReadLimits
from secondread.images.source import Reference, digest_of, member_number

if TYPE_CHECKING:
    from pydicom import Dataset


def read_dicom(reference: Reference, data: bytes, limits: ReadLimits) -> Image:
    """The image in a DICOM file.

    One frame, or `path#frame/N`: 2-D. Several frames with positions: a volume, ordered along the normal.
    Several frames without positions of their own (a cine, a set of captures), or with several at one
    position: still of rank 3, in the file's order, and a remark says that the first axis is not space. Raises
    ImageError.
    """
    with quiet_pydicom():
        return _read(reference, data, limits)


def _read(reference: Reference, data: bytes, limits: ReadLimits) -> Image:
    path = reference.text
    dataset = parse_dicom(path, data, limits)
    frame = None if reference.member is None else member_number(reference, "frame")
    stored, photometric = stored_values(path, dataset, limits, frame)
    frames = [frame] if frame is not None else list(range(frame_count(path, dataset)))
    values = physical_values(path, dataset, stored, photometric, frames)
    pixels, padding = values.pixels, values.padding
    if len(frames) == 1:
        geometry, order = flat_geometry(dataset, frames[0]), [0]
        pixels, padding = pixels[0], None if padding is None else padding[0]
    else:
        geometry, order = _frames_geometry(dataset, len(frames))
        if order != list(range(len(frames))):
            pixels, padding = pixels[order], None if padding is None else padding[order]
    facts = acquisition_facts(dataset)
    facts["file_bytes"] = str(len(data))
    facts["mode"] = photometric
    pixels = channels_first(pixels, facts)
    refuse_non_finite(path, pixels, padding)
    if padding is not None and np.issubdtype(pixels.dtype, np.floating):
        pixels = np.where(np.isfinite(pixels), pixels, _lowest(pixels))
    geometry = _with_remarks(geometry, values.remarks)
    return Image(pixels, geometry, path, digest_of(data), values.voi, padding, facts)


def _lowest(pixels: NDArray[np.generic]) -> np.generic:
    """The lowest finite value: what declared padding that is NaN or infinite is replaced by."""
    finite = pixels[np.isfinite(pixels)]
    return finite.min() if finite.size else pixels.dtype.type(0)


def _frames_geometry(dataset: Dataset, frames: int) -> tuple[Geometry, list[int]]:
    in_order = list(range(frames))
    planes = frame_planes(dataset, frames)
    if planes is None:
        told = f"{frames} frames without positions: the first axis is time or a mere collection, not space"
    else:
        try:
            order, geometry = stack(planes)
            return geometry, order
        except NotAStack as reason:
            told = f"{frames} frames that make no volume: {reason}; #frame/N reads one"
    return Geometry(remarks=(told,)), in_order


def _with_remarks(geometry: Geometry, remarks: tuple[str, ...]) -> Geometry:
    return replace(geometry, remarks=(*geometry.remarks, *remarks)) if remarks else geometry
