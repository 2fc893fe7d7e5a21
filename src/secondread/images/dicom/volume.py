"""The slices of a DICOM series become a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.colour import channels_first, refuse_non_finite
from secondread.images.dicom import suv
from secondread.images.dicom.dataset import parse_dicom, quiet_pydicom
from secondread.images.dicom.facts import about_loss, about_photometric, acquisition_facts
from secondread.images.dicom.geometry import NotAStack, Plane, plane_of
from secondread.images.dicom.mosaic import mosaic_tiles
from secondread.images.dicom.numbers import header_of
from secondread.images.dicom.pixels import frame_count, stored_values
from secondread.images.dicom.series import (
    Identity,
    Series,
    SlicesLost,
    about_unread,
    identity_of,
    series_in_folder,
    why_not_one_patient,
)
from secondread.images.dicom.stack import stack, without_copies
from secondread.images.dicom.suv import suv_facts
from secondread.images.dicom.values import physical_values
from secondread.images.image import Image, ImageError, Voi
from secondread.images.limits import ReadLimits
from secondread.images.orientation import turned
from secondread.images.source import Reference, digest_of, digest_of_parts, read_bytes


@dataclass(frozen=True)
class _Slice:
    pixels: NDArray[Any]
    padding: NDArray[np.bool_] | None
    plane: Plane
    voi: Voi | None
    remarks: tuple[str, ...]
    facts: dict[str, str]
    digest: str
    file_bytes: int
    identity: Identity


def read_series(reference: Reference, limits: ReadLimits) -> Image:
    """The volume of a folder's only series, or of `folder#key`, in the one orientation of all volumes.

    Slices are ordered along their normal; window and facts are those of the middle one, and the digest is
    that of all slices' digests in order. A slice that is there twice, with equal pixels, counts once.
    Raises ImageError where the slices make no volume or are not of one patient, where one of them is
    damaged, where slices are missing inside and files beside them cannot be read, or where the folder holds
    several series.
    """
    with quiet_pydicom():
        return _read(reference, chosen_series(reference, series_in_folder(reference.path)), limits)


def all_copies(places: tuple[tuple[str, ...], ...]) -> bool:
    """Whether the DICOM slices that lie at one place hold the same values, place by place; the first that do
    not end the search. Raises ImageError for a file that cannot be read."""
    limits = ReadLimits()
    with quiet_pydicom():
        for paths in places:
            first, *others = (_read_slice(path, read_bytes(Path(path), limits), limits) for path in paths)
            if not all(np.array_equal(first.pixels, other.pixels) for other in others):
                return False
    return True


def _read(reference: Reference, series: Series, limits: ReadLimits) -> Image:
    path = reference.text
    slices = [_read_slice(str(file), read_bytes(file, limits), limits) for file in series.files[:1]]
    first = slices[0].pixels
    limits.check_shape(path, (first.shape[-1], len(series.files), *first.shape[:2]))
    for file in series.files[1:]:
        slices.append(_read_slice(str(file), read_bytes(file, limits), limits))
        if slices[-1].pixels.shape != first.shape:
            other = slices[-1].pixels.shape
            sizes = f"{first.shape[0]}×{first.shape[1]} and {other[0]}×{other[1]}"
            raise ImageError(path, f"slices of different sizes ({sizes}, {file.name})", "read them as images")
    if mixed := why_not_one_patient(one.identity for one in slices):
        raise ImageError(path, f"no single volume: {mixed}", "read the files as images, or part them")
    kept, copies = without_copies(
        [one.plane for one in slices], lambda a, b: np.array_equal(slices[a].pixels, slices[b].pixels)
    )
    slices = [slices[index] for index in kept]
    try:
        order, geometry = stack([one.plane for one in slices])
    except NotAStack as reason:
        raise ImageError(path, f"no single volume: {reason}", "read the files as images") from reason
    ordered = [slices[index] for index in order]
    try:
        lost = about_unread([one.plane for one in ordered], series.unread)
    except SlicesLost as reason:
        raise ImageError(path, str(reason), "copy the series again") from reason
    middle = ordered[len(ordered) // 2]
    pixels, padding = _joined(ordered)
    pixels, padding, geometry = turned(pixels, padding, geometry)
    facts = dict(middle.facts) | _one_factor(ordered)
    facts["slices"] = str(len(ordered))
    facts["file_bytes"] = str(sum(one.file_bytes for one in ordered))
    grey_or_colour = channels_first(pixels, facts)
    refuse_non_finite(path, grey_or_colour, padding)
    said = (*geometry.remarks, *copies, *lost, *(r for one in ordered for r in one.remarks))
    geometry = replace(geometry, remarks=tuple(dict.fromkeys(said)))
    digest = digest_of_parts(one.digest for one in ordered)
    return Image(grey_or_colour, geometry, path, digest, middle.voi, padding, facts)


def _one_factor(ordered: Sequence[_Slice]) -> dict[str, str]:
    """That no one factor makes SUV of all slices, where theirs differ; nothing where they agree."""
    said = {(one.facts.get(suv.FACTOR, ""), one.facts.get(suv.MISSING, "")) for one in ordered}
    if len(said) < 2:
        return {}
    missing = next((reason for _, reason in said if reason), "its slices have different doses or times")
    return {suv.FACTOR: "", suv.MISSING: missing}


def _joined(ordered: Sequence[_Slice]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """`[slices, rows, columns, channels]`, and where the padding lies."""
    shape = ordered[0].pixels.shape
    pixels = np.empty((len(ordered), *shape), np.result_type(*[one.pixels.dtype for one in ordered]))
    for index, one in enumerate(ordered):
        pixels[index] = one.pixels
    if all(one.padding is None for one in ordered):
        return pixels, None
    nowhere = np.zeros(shape[:2], bool)
    return pixels, np.stack([nowhere if one.padding is None else one.padding for one in ordered])


def _read_slice(path: str, data: bytes, limits: ReadLimits) -> _Slice:
    with header_of(path):
        dataset = parse_dicom(path, data, limits)
        if frame_count(dataset) > 1 or mosaic_tiles(dataset) is not None:
            raise ImageError(
                path, "a multi-frame file or mosaic inside a series of slices", "read it by itself"
            )
        plane = plane_of(dataset)
        if plane is None:
            raise ImageError(
                path, "the slice has no position, orientation or spacing", "read the files as images"
            )
        unsaid = about_photometric(dataset)
        stored, photometric = stored_values(path, dataset, limits, None)
        values = physical_values(path, dataset, stored, photometric, [0])
        facts = acquisition_facts(dataset) | suv_facts(dataset)
        facts["mode"] = photometric
        padding = None if values.padding is None else values.padding[0]
        remarks = (*values.remarks, *unsaid, *about_loss(facts))
        return _Slice(
            values.pixels[0],
            padding,
            plane,
            values.voi,
            remarks,
            facts,
            digest_of(data),
            len(data),
            identity_of(dataset),
        )


def chosen_series(reference: Reference, found: Sequence[Series]) -> Series:
    """The one of a folder's series that `folder` or `folder#key` names. Raises ImageError."""
    keys = ", ".join(f"#{one.key} ({one.modality}, {len(one.files)} files)" for one in found[:8])
    if not found:
        raise ImageError(reference.text, "a folder without DICOM images in it")
    if reference.member is None:
        if len(found) > 1:
            raise ImageError(reference.text, f"a folder of {len(found)} series", f"name one: {keys}")
        return found[0]
    for one in found:
        if one.key == reference.member:
            return one
    raise ImageError(reference.text, f"no series '{reference.member}' in the folder", f"it holds {keys}")
