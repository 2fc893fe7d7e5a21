"""One slice of a volume as a picture: `scan.nii.gz#slice/axial/77`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from secondread.images.image import Geometry, Image, ImageError

Plane = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[Plane, ...] = get_args(Plane)
"""In the order of a volume's axes (slice, row, column): the axis that a slice of each is taken from."""
_MEMBER = re.compile(r"(?:(frame/[0-9]{1,9})/)?slice/(axial|coronal|sagittal)/([0-9]{1,9})")


def slice_member(plane: str, number: int) -> str:
    """How a reference names a slice, after its `#`."""
    return f"slice/{plane}/{number}"


def slice_named(member: str | None) -> tuple[str | None, int, int] | None:
    """The volume (`frame/N` of several, else None), its axis and the number on it that a reference's member
    names; None where it names no slice."""
    found = _MEMBER.fullmatch(member or "")
    return None if found is None else (found[1], PLANES.index(found[2]), int(found[3]))


def slice_of(volume: Image, axis: int, number: int, source: str) -> Image:
    """A slice of a volume `[channels, slice, row, column]` that lies in the one orientation, as a picture.

    Numbers run as the volume's axes do, from 0: axial ones from feet to head, coronal ones from front to
    back, sagittal ones from the patient's right to left. Axial slices are seen as DICOM shows them; coronal
    and sagittal ones have the head above. The picture lies in the patient where the volume does; its maps
    are written as it is seen. Raises ImageError where there is no such slice.
    """
    if volume.rank != 3:
        raise ImageError(source, "a picture, which has no slices", "name the file alone")
    if number >= volume.size[axis]:
        raise ImageError(source, f"the volume has {PLANES[axis]} slices 0 to {volume.size[axis] - 1}")
    pixels = np.take(volume.pixels, number, axis=axis + 1)
    padding = None if volume.padding is None else np.take(volume.padding, number, axis=axis)
    if axis:
        pixels = pixels[:, ::-1]
        padding = None if padding is None else padding[::-1]
    return replace(
        volume,
        pixels=np.ascontiguousarray(pixels),
        padding=None if padding is None else np.ascontiguousarray(padding),
        geometry=_geometry_of(volume.geometry, volume.size, axis, number),
        source=source,
        header={**volume.header, "rows": str(pixels.shape[1]), "columns": str(pixels.shape[2])},
    )


def _geometry_of(geometry: Geometry, size: tuple[int, ...], axis: int, number: int) -> Geometry:
    kept = [other for other in range(3) if other != axis]
    spacing = None if geometry.spacing is None else tuple(geometry.spacing[other] for other in kept)
    if geometry.affine is None:
        return Geometry(spacing, remarks=geometry.remarks)
    to_volume = np.zeros((4, 4))
    to_volume[3, 3] = 1.0
    to_volume[axis, 3] = number
    to_volume[axis, 2] = 1.0
    for position, other in enumerate(kept):
        turned = axis > 0 and other == 0
        to_volume[other, position] = -1.0 if turned else 1.0
        if turned:
            to_volume[other, 3] = size[other] - 1
    return Geometry(spacing, geometry.affine @ to_volume, remarks=geometry.remarks)
