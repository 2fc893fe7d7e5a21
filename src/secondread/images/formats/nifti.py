"""NIfTI-1, NIfTI-2 and Analyze, in one file or two, plain or gzipped, turned to one orientation with the way
back kept."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from secondread.images.colour import channels_first, refuse_non_finite
from secondread.images.formats.grids.beside import bytes_beside
from secondread.images.formats.grids.placed import in_one_orientation
from secondread.images.formats.grids.voxels import Packing, voxel_bytes
from secondread.images.formats.gzipped import GZIP_MAGIC
from secondread.images.formats.nifti_header import NiftiHeader, nifti_header
from secondread.images.formats.nifti_pair import is_pair, pair_header, unpacked_start, voxels_beside
from secondread.images.image import Image, ImageError
from secondread.images.kept_file import state_of
from secondread.images.limits import ReadLimits
from secondread.images.precision import as_float
from secondread.images.source import Reference, digest_of, digest_of_parts, member_number
from secondread.wording.sizes import times

_COLOURS = {"RGB": ("R", "G", "B"), "RGBA": ("R", "G", "B", "A")}


def read_nifti(reference: Reference, data: bytes, limits: ReadLimits) -> Image:
    """A NIfTI volume `[channels, slice, row, column]`, slices from feet to head, rows from front to back,
    columns from the patient's right to left (as DICOM shows an axial slice); one slice is a 2-D image.

    The affine in millimetres, the axes' order and their turns are kept in `geometry`, so that maps go back
    on the file's own grid. A file with a fourth axis (time, direction) is refused unless `path#frame/N` names
    one. Raises ImageError.
    """
    path = reference.text
    beginning = unpacked_start(data)
    pair = is_pair(beginning)
    header = pair_header(path, reference.path, beginning) if pair else nifti_header(path, beginning)
    dtype, shape = header.dtype, header.grid
    start = _chosen_volume(reference, header)
    limits.check_shape(path, shape)
    first_byte = header.first_byte(path)
    if dtype.kind not in "uif" and dtype.names not in _COLOURS.values():
        raise ImageError(path, f"voxels of type {dtype} are no grey or colour values")
    length = math.prod(shape) * dtype.itemsize
    first = first_byte + start * length
    limits.check_bytes(path, first + length)
    source, digest, size = data, digest_of(data), len(data)
    if pair:
        source = bytes_beside(reference, voxels_beside(reference.path, path), limits)
        digest, size = digest_of_parts((digest, digest_of(source))), size + len(source)
    packing: Packing = "gzip" if source[:2] == GZIP_MAGIC else "raw"
    stored = voxel_bytes(path, source, packing, first, length)
    pixels = np.frombuffer(stored, dtype).reshape(shape, order="F")
    facts = {
        "format": header.format,
        "bits": str(8 * dtype.itemsize),
        "mode": "grey",
        "file_bytes": str(size),
    }
    if dtype.names:
        facts["mode"] = "".join(dtype.names)
        pixels = np.stack([pixels[name] for name in dtype.names], axis=-1)
    else:
        pixels = _rescaled(pixels, header.slope, header.intercept)[..., np.newaxis]
    pixels, geometry = in_one_orientation(pixels, header.affine, header.remarks)
    pixels = channels_first(pixels, facts)
    refuse_non_finite(path, pixels)
    facts["rows"], facts["columns"] = str(pixels.shape[-2]), str(pixels.shape[-1])
    return Image(pixels, geometry, path, digest, header=facts)


def voxels_state(reference: Reference, data: bytes) -> tuple[int, ...]:
    """What tells whether the file beside a header is as it was; () where the voxels follow the header."""
    pair = is_pair(unpacked_start(data))
    return state_of(voxels_beside(reference.path, reference.text)) if pair else ()


def _chosen_volume(reference: Reference, header: NiftiHeader) -> int:
    """Which volume along the further axes is read."""
    count = header.volumes
    if len(header.shape) < 2:
        raise ImageError(reference.text, f"a grid of shape {header.shape} is no image")
    if reference.member is not None:
        number = member_number(reference, "frame")
        if number >= count:
            raise ImageError(reference.text, f"the file has frames 0 to {count - 1}")
        return number
    if count != 1:
        raise ImageError(
            reference.text,
            f"{count} volumes in one file (shape {times(header.shape)})",
            "name one with #frame/N, N from 0",
        )
    return 0


def _rescaled(
    pixels: NDArray[np.generic], slope: float | None, intercept: float | None
) -> NDArray[np.generic]:
    if slope is None or (slope == 1 and intercept in (None, 0)):
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return as_float(pixels.astype(np.float64) * slope + (intercept or 0.0))
