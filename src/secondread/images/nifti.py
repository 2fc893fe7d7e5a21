"""NIfTI-1 and NIfTI-2, plain or gzipped, turned to one orientation with the way back kept."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.colour import channels_first, refuse_non_finite
from secondread.images.image import Geometry, Image, ImageError
from secondread.images.limits import ReadLimits
from secondread.images.source import Reference, digest_of, member_number

GZIP_MAGIC = b"\x1f\x8b"
NO_ORIENTATION = "no orientation in the header: read as stored from left to right in RAS millimetres"
_HEADER_BYTES = 544
_COLOURS = {"RGB": ("R", "G", "B"), "RGBA": ("R", "G", "B", "A")}


def is_nifti(start: bytes) -> bool:
    """Whether a file's (unpacked) first bytes are a NIfTI header."""
    return start[344:348] in (b"n+1\0", b"ni1\0") or start[4:8] in (b"n+2\0", b"ni2\0")


def gunzip_start(data: bytes, count: int = _HEADER_BYTES) -> bytes:
    """The first `count` bytes behind gzip compression, or nothing where the stream is damaged."""
    try:
        return _gunzip(data, count)
    except zlib.error:
        return b""


def _gunzip(data: bytes, count: int) -> bytes:
    """At most `count` unpacked bytes; streams that follow one another (bgzip) are read as one."""
    parts: list[bytes] = []
    while data[:2] == GZIP_MAGIC and count > 0:
        inflater = zlib.decompressobj(wbits=31)
        parts.append(inflater.decompress(data, count))
        count -= len(parts[-1])
        data = inflater.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


def nifti_header(path: str, start: bytes) -> Any:
    """The nibabel header in a file's (unpacked) first bytes. Raises ImageError."""
    import nibabel

    kind = nibabel.Nifti1Header if start[344:348] in (b"n+1\0", b"ni1\0") else nibabel.Nifti2Header
    if start[344:348] == b"ni1\0" or start[4:8] == b"ni2\0":
        raise ImageError(path, "a NIfTI pair (.hdr and .img)", "convert it to a single .nii")
    try:
        return kind(binaryblock=bytes(start[: kind.template_dtype.itemsize]), check=False)
    except Exception as error:
        raise ImageError(path, f"a NIfTI header that cannot be read ({error})") from error


def read_nifti(reference: Reference, data: bytes, limits: ReadLimits) -> Image:
    """A NIfTI volume `[channels, slice, row, column]`, slices from feet to head, rows from front to back,
    columns from the patient's right to left (as DICOM shows an axial slice); one slice is a 2-D image.

    The affine, the axes' order and their turns are kept in `geometry`, so that maps go back on the file's own
    grid. A file with a fourth axis (time, direction) is refused unless `path#frame/N` names one. Raises
    ImageError.
    """
    path = reference.text
    packed = data[:2] == GZIP_MAGIC
    header = nifti_header(path, gunzip_start(data) if packed else data[:_HEADER_BYTES])
    try:
        shape = tuple(int(n) for n in header.get_data_shape())
        dtype = header.get_data_dtype()
        offset = int(header["vox_offset"])
        affine = np.asarray(header.get_best_affine(), dtype=np.float64)
        slope, intercept = header.get_slope_inter()
    except Exception as error:
        raise ImageError(path, f"a NIfTI header that cannot be read ({error})") from error
    shape, start, remarks = _grid(reference, shape)
    limits.check_shape(path, shape)
    if dtype.kind not in "uif" and dtype.names not in _COLOURS.values():
        raise ImageError(path, f"voxels of type {dtype} are no grey or colour values")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise ImageError(path, "the affine is singular or not finite", "repair the header's sform or qform")
    length = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    first = max(offset, 0) + start * length
    limits.check_bytes(path, first + length)
    stored = _voxels(path, data, packed, first, length)
    pixels = np.frombuffer(stored, dtype).reshape(shape, order="F")
    facts = {"format": "NIfTI", "bits": str(8 * dtype.itemsize), "mode": "grey", "file_bytes": str(len(data))}
    if dtype.names:
        facts["mode"] = "".join(dtype.names)
        pixels = np.stack([pixels[name] for name in dtype.names], axis=-1)
    else:
        pixels = _rescaled(pixels, slope, intercept)[..., np.newaxis]
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
        remarks = (
            *remarks,
            NO_ORIENTATION,
        )
    pixels, geometry = _canonical(pixels, affine, remarks)
    pixels = channels_first(pixels, facts)
    refuse_non_finite(path, pixels)
    facts["rows"], facts["columns"] = str(pixels.shape[-2]), str(pixels.shape[-1])
    return Image(pixels, geometry, path, digest_of(data), header=facts)


def _grid(reference: Reference, shape: tuple[int, ...]) -> tuple[tuple[int, ...], int, tuple[str, ...]]:
    """The three spatial lengths, and which of the further axes' volumes is read."""
    if len(shape) < 2:
        raise ImageError(reference.text, f"a grid of shape {shape} is no image")
    spatial = (*shape, 1)[:3]
    count = int(np.prod(shape[3:], dtype=np.int64)) if len(shape) > 3 else 1
    if reference.member is not None:
        number = member_number(reference, "frame")
        if number >= count:
            raise ImageError(reference.text, f"the file has frames 0 to {count - 1}")
        return spatial, number, ()
    if count != 1:
        raise ImageError(
            reference.text,
            f"{count} volumes in one file (shape {'×'.join(map(str, shape))})",
            "name one with #frame/N, N from 0",
        )
    return spatial, 0, ()


def _voxels(path: str, data: bytes, packed: bool, first: int, length: int) -> bytes | memoryview:
    """`length` bytes from `first` on, unpacking no more than that."""
    if packed:
        try:
            unpacked = _gunzip(data, first + length)
        except zlib.error as error:
            raise ImageError(path, f"the gzip stream is damaged ({error})", "copy it again") from error
        found: bytes | memoryview = memoryview(unpacked)[first:]
    else:
        found = memoryview(data)[first : first + length]
    if len(found) < length:
        raise ImageError(path, f"truncated: {len(found):,} of {length:,} bytes of voxels", "copy it again")
    return found


def _rescaled(
    pixels: NDArray[np.generic], slope: float | None, intercept: float | None
) -> NDArray[np.generic]:
    if slope is None or (slope == 1 and intercept in (None, 0)):
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return (pixels.astype(np.float64) * slope + (intercept or 0.0)).astype(np.float32)


def canonical_axes(affine: NDArray[np.float64]) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """For each file axis, which array axis it becomes and whether it is turned.

    The array's axes then run to Superior, Posterior and Left.
    """
    from nibabel.orientations import io_orientation

    orientation = io_orientation(affine)
    if np.isnan(orientation).any():
        orientation = np.array([[0, 1], [1, 1], [2, 1]])
    axes = tuple(2 - int(world) for world, _ in orientation)
    wanted = [1 if axis == 0 else -1 for axis in axes]
    flips = tuple(int(direction) != sign for sign, (_, direction) in zip(wanted, orientation, strict=True))
    return axes, flips


def _canonical(
    pixels: NDArray[np.generic], affine: NDArray[np.float64], remarks: tuple[str, ...]
) -> tuple[NDArray[np.generic], Geometry]:
    """`[i, j, k, channels]` in file order, turned to the canonical axes, with the way back."""
    axes, flips = canonical_axes(affine)
    to_file = np.zeros((4, 4))
    to_file[3, 3] = 1.0
    for file_axis, (axis, flip) in enumerate(zip(axes, flips, strict=True)):
        to_file[file_axis, axis] = -1.0 if flip else 1.0
        to_file[file_axis, 3] = pixels.shape[file_axis] - 1 if flip else 0
    array_affine = affine @ to_file
    turned = pixels[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    turned = np.transpose(turned, (*np.argsort(axes), 3))
    spacing = tuple(float(length) for length in np.linalg.norm(array_affine[:3, :3], axis=0))
    geometry = Geometry(spacing, array_affine, axes, flips, affine, remarks)
    if 1 in turned.shape[:3]:
        return _single_slice(turned, geometry)
    return turned, geometry


def _single_slice(pixels: NDArray[np.generic], geometry: Geometry) -> tuple[NDArray[np.generic], Geometry]:
    """A volume of one slice as a 2-D image `(row, column)`; the third column of the affine is its normal."""
    assert geometry.affine is not None
    assert geometry.spacing is not None
    assert geometry.file_axes is not None
    assert geometry.file_flips is not None
    single = pixels.shape.index(1)
    kept = [axis for axis in range(3) if axis != single]
    affine = geometry.affine[:, [*kept, single, 3]]
    files = [f for f in range(3) if geometry.file_axes[f] != single]
    flat = Geometry(
        tuple(geometry.spacing[axis] for axis in kept),
        affine,
        tuple(kept.index(geometry.file_axes[f]) for f in files),
        tuple(geometry.file_flips[f] for f in files),
        geometry.file_affine,
        geometry.remarks,
    )
    return np.squeeze(pixels, axis=single), flat
