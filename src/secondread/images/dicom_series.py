"""A folder of DICOM slices becomes a volume."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from secondread.images.colour import channels_first, refuse_non_finite
from secondread.images.dicom_dataset import is_dicom, parse_dicom, quiet_pydicom, text
from secondread.images.dicom_facts import acquisition_facts
from secondread.images.dicom_geometry import NotAStack, Plane, plane_of, stack
from secondread.images.dicom_pixels import frame_count, stored_values
from secondread.images.dicom_values import physical_values
from secondread.images.image import Image, ImageError, Voi
from secondread.images.limits import ReadLimits
from secondread.images.source import Reference, digest_of, digest_of_parts, read_bytes

_SERIES_TAGS = ("SeriesInstanceUID", "Modality", "Rows", "Columns", "NumberOfFrames")


@dataclass(frozen=True)
class Series:
    """One series in a folder: `key` is what `folder#key` is written with."""

    key: str
    modality: str
    files: tuple[Path, ...]


def series_key(series_uid: str) -> str:
    """The first 12 hex digits of the BLAKE2b hash of a SeriesInstanceUID."""
    return hashlib.blake2b(series_uid.encode()).hexdigest()[:12]


def series_in_folder(folder: str | Path) -> list[Series]:
    """The series whose image files lie directly in a folder, by key. Only headers are read.

    Raises ImageError where the folder cannot be listed; files that are no DICOM images are passed over.
    """
    found: dict[str, list[Path]] = {}
    modality: dict[str, str] = {}
    try:
        files = sorted(path for path in Path(folder).iterdir() if path.is_file())
    except OSError as error:
        raise ImageError(str(folder), f"cannot be listed ({error.strerror or error})") from error
    for path in files:
        facts = _series_facts(path)
        if facts is not None:
            key = series_key(facts[0])
            found.setdefault(key, []).append(path)
            modality[key] = facts[1]
    return [Series(key, modality[key], tuple(paths)) for key, paths in sorted(found.items())]


def _series_facts(path: Path) -> tuple[str, str] | None:
    """SeriesInstanceUID and modality of a file that has rows and columns, else None."""
    import pydicom

    try:
        with path.open("rb") as stream, quiet_pydicom():
            if not is_dicom(stream.read(132)):
                return None
            stream.seek(0)
            dataset = pydicom.dcmread(
                stream, force=True, stop_before_pixels=True, specific_tags=list(_SERIES_TAGS)
            )
            if not text(dataset, "Rows") or not text(dataset, "Columns"):
                return None
            return text(dataset, "SeriesInstanceUID"), text(dataset, "Modality")
    except Exception:
        return None


def read_series(reference: Reference, limits: ReadLimits) -> Image:
    """The volume of a folder's only series, or of `folder#key`: slices ordered along the normal.

    Window and facts are those of the middle slice; the digest is that of all slices' digests in order. Raises
    ImageError where the slices make no volume, where one of them is damaged, or where the folder holds
    several.
    """
    with quiet_pydicom():
        return _read(reference, _chosen(reference), limits)


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
    try:
        order, geometry = stack([one.plane for one in slices])
    except NotAStack as reason:
        raise ImageError(path, f"no single volume: {reason}", "read the files as images") from reason
    ordered = [slices[index] for index in order]
    middle = ordered[len(ordered) // 2]
    dtype = np.result_type(*[one.pixels.dtype for one in ordered])
    pixels = np.empty((len(ordered), *first.shape), dtype)
    for index, one in enumerate(ordered):
        pixels[index] = one.pixels
    padding = None
    if any(one.padding is not None for one in ordered):
        padding = np.stack(
            [one.padding if one.padding is not None else np.zeros(first.shape[:2], bool) for one in ordered]
        )
    facts = dict(middle.facts)
    facts["slices"] = str(len(ordered))
    facts["file_bytes"] = str(sum(one.file_bytes for one in ordered))
    grey_or_colour = channels_first(pixels, facts)
    refuse_non_finite(path, grey_or_colour, padding)
    remarks = tuple(dict.fromkeys((*geometry.remarks, *(r for one in ordered for r in one.remarks))))
    digest = digest_of_parts(one.digest for one in ordered)
    return Image(grey_or_colour, replace(geometry, remarks=remarks), path, digest, middle.voi, padding, facts)


@dataclass(frozen=True)
class _Slice:
    pixels: np.ndarray
    padding: np.ndarray | None
    plane: Plane
    voi: Voi | None
    remarks: tuple[str, ...]
    facts: dict[str, str]
    digest: str
    file_bytes: int


def _read_slice(path: str, data: bytes, limits: ReadLimits) -> _Slice:
    dataset = parse_dicom(path, data, limits)
    if frame_count(path, dataset) > 1:
        raise ImageError(path, "a multi-frame file inside a series of slices", "read it by itself")
    plane = plane_of(dataset)
    if plane is None:
        raise ImageError(
            path, "the slice has no position, orientation or spacing", "read the files as images"
        )
    stored, photometric = stored_values(path, dataset, limits, None)
    values = physical_values(path, dataset, stored, photometric, [0])
    facts = acquisition_facts(dataset)
    facts["mode"] = photometric
    padding = None if values.padding is None else values.padding[0]
    return _Slice(
        values.pixels[0], padding, plane, values.voi, values.remarks, facts, digest_of(data), len(data)
    )


def _chosen(reference: Reference) -> Series:
    found = series_in_folder(reference.path)
    keys = ", ".join(f"#{one.key} ({one.modality}, {len(one.files)} files)" for one in found[:8])
    if not found:
        raise ImageError(reference.text, "a folder without DICOM images directly in it")
    if reference.member is None:
        if len(found) > 1:
            raise ImageError(reference.text, f"a folder of {len(found)} series", f"name one: {keys}")
        return found[0]
    for one in found:
        if one.key == reference.member:
            return one
    raise ImageError(reference.text, f"no series '{reference.member}' in the folder", f"it holds {keys}")
