"""What a NIfTI-1 or NIfTI-2 header says, checked against the standard."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.formats.grids.placed import NO_ORIENTATION, about_axes
from secondread.images.image import ImageError

HEADER_BYTES = 544
_AS_STORED = f"{NO_ORIENTATION}: read as stored from left to right in RAS millimetres"
_MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}


def is_nifti(start: bytes) -> bool:
    """Whether a file's (unpacked) first bytes are a NIfTI header."""
    return start[344:348] == b"n+1\0" or start[4:8] == b"n+2\0" or is_nifti_pair(start)


def is_nifti_pair(start: bytes) -> bool:
    """Whether a file's (unpacked) first bytes are a NIfTI header whose voxels lie in another file."""
    return start[344:348] == b"ni1\0" or start[4:8] == b"ni2\0"


@dataclass(frozen=True)
class NiftiHeader:
    """What a NIfTI header says, checked.

    shape      as stored, two to seven axes
    dtype      of a voxel, in the file's byte order
    offset     of the first voxel, in bytes, as stated (see `first_byte`)
    affine     4×4, from voxel to RAS+ millimetres, whatever unit the header is in
    slope, intercept   of the values; None where the header gives none
    format     "NIfTI" or "Analyze"
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: float
    lowest_offset: int
    affine: NDArray[np.float64]
    slope: float | None
    intercept: float | None
    remarks: tuple[str, ...]
    format: str = "NIfTI"

    @property
    def grid(self) -> tuple[int, int, int]:
        """The three spatial lengths."""
        first, second, third = (*self.shape, 1)[:3]
        return first, second, third

    @property
    def volumes(self) -> int:
        """How many there are along the further axes (time, direction)."""
        return math.prod(self.shape[3:])

    def first_byte(self, path: str) -> int:
        """Where the voxels start. Raises ImageError for a place that is no whole byte behind the header."""
        offset, lowest = self.offset, self.lowest_offset
        if not math.isfinite(offset) or offset != int(offset) or offset < lowest:
            within = f"within the header ({lowest} bytes)" if lowest else "before the file's first byte"
            raise ImageError(
                path,
                f"the header says that voxels start at byte {offset:g}, which is {within} or no byte",
                "export the file again",
            )
        return int(offset)


def nifti_header(path: str, start: bytes, *, pair: bool = False) -> NiftiHeader:
    """The header in a file's (unpacked) first bytes; of a `pair`, whose voxels lie in another file.

    The affine is the sform's, else the qform's, else made of the voxel sizes. Raises ImageError for what
    contradicts the standard: lengths, place of the voxels, voxel sizes, affine, slope.
    """
    import nibabel

    kind = nibabel.Nifti1Header if start[344:348] in (b"n+1\0", b"ni1\0") else nibabel.Nifti2Header
    try:
        header = kind(binaryblock=bytes(start[: kind.template_dtype.itemsize]), check=False)
        axes = int(header["dim"][0])
        if not 1 <= axes <= 7 or any(int(n) < 1 for n in header["dim"][1 : axes + 1]):
            lengths = ", ".join(str(int(n)) for n in header["dim"])
            raise ImageError(path, f"a header whose lengths are {lengths}", "export the file again")
        shape = tuple(int(n) for n in header.get_data_shape())
        slope, intercept = _scaling(path, header)
        affine, remarks = _affine(path, header)
        offset, lowest = float(header["vox_offset"]), 0 if pair else int(header.single_vox_offset)
        return NiftiHeader(shape, header.get_data_dtype(), offset, lowest, affine, slope, intercept, remarks)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(
            path, "a NIfTI header that cannot be read: damaged, or not what it says of itself"
        ) from error


def _scaling(path: str, header: Any) -> tuple[float | None, float | None]:
    from nibabel.spatialimages import HeaderDataError

    if np.isinf(float(header["scl_slope"])):
        raise ImageError(path, "the slope of the values is infinite", "repair the header's scl_slope")
    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        problem = "the intercept of the values is infinite or no number"
        raise ImageError(path, problem, "repair the header's scl_inter") from error
    return slope, intercept


def _affine(path: str, header: Any) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """From voxel to RAS+ millimetres, with what a person should know of it. Raises ImageError."""
    scale = _MILLIMETRES.get(int(header["xyzt_units"]) & 7)
    remarks = []
    if scale is None:
        remarks.append("a unit of length that NIfTI does not know: read as millimetres")
    if 0.0 <= float(header["pixdim"][0]) != 1.0:
        header["pixdim"][0] = 1.0
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    for axis in range(int(header["dim"][0]) + 1, 4):  # an axis that the file does not have
        header["pixdim"][axis] = float(header["pixdim"][axis]) or 1.0
    sizes = np.asarray(header["pixdim"][1:4], np.float64)
    if sform == 0 and not (np.isfinite(sizes) & (sizes > 0)).all():
        said = ", ".join(f"{size:g}" for size in sizes)
        raise ImageError(path, f"voxel sizes of {said}", "repair the header's pixdim, sform or qform")
    affine = np.array(header.get_best_affine(), dtype=np.float64)
    affine[:3] *= scale or 1.0
    about = about_axes(path, affine, "repair the header's sform or qform")
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if sform == 0 and qform == 0:
        remarks.append(_AS_STORED)
    remarks += about
    apart = _forms_apart(header, scale or 1.0) if sform and qform else 0.0
    if apart > 0.5 * float(lengths.min()):
        remarks.append(f"sform and qform differ by up to {apart:.3g} mm: the sform is used")
    return affine, tuple(remarks)


def _forms_apart(header: Any, scale: float) -> float:
    """How far sform and qform place a corner of the grid from one another, at most, in millimetres."""
    try:
        between = np.asarray(header.get_sform(), np.float64) - np.asarray(header.get_qform(), np.float64)
    except Exception:
        return 0.0  # a qform that is none; the sform is what counts
    grid = [int(n) for n in (*header.get_data_shape(), 1, 1)[:3]]
    corners = np.array([[*corner, 1] for corner in product(*((0, n - 1) for n in grid))], np.float64)
    return float(np.linalg.norm((corners @ between.T)[:, :3], axis=1).max()) * scale
