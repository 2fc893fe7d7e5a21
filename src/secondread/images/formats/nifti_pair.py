"""Images in two files: a header (.hdr) of NIfTI or Analyze 7.5, and its voxels (.img) beside it."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np

from secondread.images.formats.grids.placed import NO_ORIENTATION, about_axes
from secondread.images.formats.gzipped import GZIP_MAGIC, gunzip_start
from secondread.images.formats.nifti_header import (
    HEADER_BYTES,
    NiftiHeader,
    is_nifti_pair,
    nifti_header,
)
from secondread.images.image import ImageError

LARGEST_HEADER_FILE = 1 << 16
_HEADERS = (".hdr", ".hdr.gz")
_VOXELS = (".img", ".img.gz")
_ANALYZE_BYTES = 348
_MOST_ANALYZE_BYTES = 512
"""Of a header alone; with voxels behind it, it is a NIfTI whose header does not say that it is one."""
_ANALYZE_TYPES = (2, 4, 8, 16, 64, 128, 130, 132, 136, 256, 512, 768)
_AS_STORED = f"{NO_ORIENTATION} (Analyze): read as stored from right to left, back to front and feet to head"
_DAMAGED = "an Analyze header that cannot be read: damaged, or not what it says of itself"
_REPAIR = "repair the header, or convert the image to NIfTI"


def is_pair(start: bytes) -> bool:
    """Whether a file's unpacked first bytes are a header whose voxels lie in another file."""
    return is_nifti_pair(start) or is_analyze(start)


def unpacked_start(data: bytes) -> bytes:
    """The first bytes of a file, plain or packed, as many as a header has."""
    return gunzip_start(data, HEADER_BYTES) if data[:2] == GZIP_MAGIC else data[:HEADER_BYTES]


def is_analyze(start: bytes) -> bool:
    """Whether a file's unpacked first bytes are an Analyze header and nothing else."""
    if not _ANALYZE_BYTES <= len(start) < _MOST_ANALYZE_BYTES:
        return False
    for order in "<>":
        length, axes, kind = (
            struct.unpack_from(order + form, start, at)[0] for form, at in (("i", 0), ("h", 40), ("h", 70))
        )
        if length == _ANALYZE_BYTES and 1 <= axes <= 7 and kind in _ANALYZE_TYPES:
            return not is_nifti_pair(start) and start[344:348] != b"n+1\0"
    return False


def voxels_beside(header: Path, text: str) -> Path:
    """The file that holds a header's voxels: of its name, with .img at the end, plain or packed by gzip.

    Raises ImageError, named `text`, where it is not there.
    """
    stem = _without(header.name, _HEADERS) or header.name
    found = _first_there(header, stem, _VOXELS)
    if found is None:
        raise ImageError(
            text,
            f"a header whose voxels, {stem}.img, are not there",
            "copy them beside it, or save it as .nii",
        )
    if not found.is_file():
        raise ImageError(text, f"its data file {found.name} is not a regular file")
    return found


def header_beside(voxels: Path) -> Path | None:
    """The header of a file of voxels (.img); None where none lies beside it."""
    stem = _without(voxels.name, _VOXELS)
    return None if stem is None else _first_there(voxels, stem, _HEADERS)


def pair_header(path: str, file: Path, start: bytes) -> NiftiHeader:
    """The header in a file's unpacked first bytes. Raises ImageError for what contradicts the format."""
    if is_nifti_pair(start):
        return nifti_header(path, start, pair=True)
    header = _analyze(path, start)
    turn = _first_there(file, _without(file.name, _HEADERS) or file.name, (".mat",))
    if turn is None:
        return header
    return replace(header, remarks=(*header.remarks, f"SPM's orientation in {turn.name} is not read"))


def _analyze(path: str, start: bytes) -> NiftiHeader:
    """As nibabel reads an Analyze header of SPM's kind: its origin and factor count where it has them."""
    from nibabel.spm2analyze import Spm2AnalyzeHeader

    try:
        header = Spm2AnalyzeHeader(binaryblock=bytes(start[:_ANALYZE_BYTES]), check=False)
        shape = tuple(int(n) for n in header.get_data_shape())
        sizes = np.abs(np.asarray(header["pixdim"][1:4], np.float64))
        if not shape or min(shape) < 1 or not (np.isfinite(sizes) & (sizes > 0))[: len(shape)].all():
            lengths, said = (", ".join(f"{n:g}" for n in each) for each in (shape, sizes[: len(shape)]))
            raise ImageError(path, f"a header of lengths {lengths} and voxel sizes {said}", _REPAIR)
        header["pixdim"][1:4] = np.where(sizes > 0, sizes, 1)
        slope, intercept = header.get_slope_inter()
        affine = np.array(header.get_best_affine(), np.float64)
        about = about_axes(path, affine, _REPAIR)
        offset = float(header["vox_offset"])
        return NiftiHeader(
            shape,
            header.get_data_dtype(),
            offset,
            0,
            affine,
            slope,
            intercept,
            (_AS_STORED, *about),
            "Analyze",
        )
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(path, _DAMAGED, _REPAIR) from error


def _without(name: str, endings: tuple[str, ...]) -> str | None:
    """A name without the one of the endings that it has, in small letters or capitals."""
    found = next((end for end in sorted(endings, key=len)[::-1] if name.lower().endswith(end)), None)
    return None if found is None else name[: len(name) - len(found)]


def _first_there(beside: Path, stem: str, endings: tuple[str, ...]) -> Path | None:
    places = (beside.parent / (stem + end) for each in endings for end in (each, each.upper()))
    return next((place for place in places if place.exists()), None)
