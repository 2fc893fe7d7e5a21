"""NRRD, MetaImage and MGH: volumes, pictures and series of them; voxels behind the header or beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.colour import channels_first, refuse_non_finite
from secondread.images.formats.grids.beside import bytes_beside, data_path
from secondread.images.formats.grids.grid import VoxelGrid
from secondread.images.formats.grids.metaimage_header import ends_metaimage_header, metaimage_header
from secondread.images.formats.grids.mgh_header import mgh_header
from secondread.images.formats.grids.nrrd_header import ends_nrrd_header, nrrd_header
from secondread.images.formats.grids.placed import in_one_orientation, size_in_one_orientation
from secondread.images.formats.grids.voxels import room_for, voxel_bytes
from secondread.images.header import Header
from secondread.images.image import Geometry, Image, ImageError
from secondread.images.kept_file import state_of
from secondread.images.limits import ReadLimits
from secondread.images.source import Reference, digest_of, digest_of_parts, member_number
from secondread.wording.sizes import times

_HEADERS = {"nrrd": nrrd_header, "metaimage": metaimage_header, "mgh": mgh_header}


def ends(kind: str, start: bytes) -> bool:
    """Whether a header of that kind ends within a file's first bytes."""
    if kind == "mgh":
        return True
    return ends_nrrd_header(start) if kind == "nrrd" else ends_metaimage_header(start)


def read_grid(reference: Reference, kind: str, data: bytes, limits: ReadLimits) -> Image:
    """A file of one of `header.GRID_KINDS`.

    A volume `[channels, slice, row, column]` in the one orientation, with its affine in millimetres, as of
    NIfTI; one slice, or a file of two axes in space, is a picture. A file of three axes that says nothing of
    space, and one of two, are read as stored. Further axes (time, lists, vectors) number frames, one of
    which `path#frame/N` names. Raises ImageError.
    """
    path = reference.text
    grid = _HEADERS[kind](path, data)
    number = _chosen_frame(reference, grid)
    limits.check_shape(path, (*grid.grid, grid.channels))
    source, digest, size = data, digest_of(data), len(data)
    if grid.data_file:
        place = data_path(reference.path, grid.data_file, path)
        source = bytes_beside(reference, place, limits)
        digest, size = digest_of_parts((digest, digest_of(source))), size + len(source)
    pixels = _stored(path, grid, source, number, limits)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    facts = {
        "format": grid.format,
        "bits": str(8 * grid.dtype.itemsize),
        "mode": {1: "grey", 3: "RGB", 4: "RGBA"}[grid.channels],
        "file_bytes": str(size),
    }
    pixels, geometry = _placed(pixels, grid)
    pixels = channels_first(pixels, facts)
    refuse_non_finite(path, pixels)
    facts["rows"], facts["columns"] = str(pixels.shape[-2]), str(pixels.shape[-1])
    return Image(pixels, geometry, path, digest, header=facts)


def data_state(reference: Reference, kind: str, data: bytes) -> tuple[int, ...]:
    """What tells whether the file beside a header is as it was; () where the voxels follow the header."""
    named = _HEADERS[kind](reference.text, data).data_file
    return state_of(data_path(reference.path, named, reference.text)) if named else ()


def grid_header(path: str, kind: str, start: bytes, file_bytes: int) -> Header:
    """What `index` asks for, from a file's first bytes. Raises ImageError, also where the voxels cannot all
    be there."""
    grid = _HEADERS[kind](path, start)
    held = file_bytes
    if grid.data_file:
        held = data_path(Path(path), grid.data_file, path).stat().st_size
    room = room_for(grid.packing, held - max(grid.start, 0))
    ReadLimits().check_count(path, grid.frames, "frames")
    asked = grid.frames * grid.frame_bytes
    if room is not None and room - grid.skip < asked:
        there = f"{max(room - grid.skip, 0):,}" if grid.packing == "raw" else "a part"
        raise ImageError(path, f"truncated: {there} of {asked:,} bytes of voxels", "copy it again")
    size, spacing = grid.grid[::-1], (grid.spacing or ())[::-1]
    if grid.affine is not None:
        size, spacing = size_in_one_orientation((*grid.grid, 1)[:3], grid.affine)
    elif 1 in size and len(size) == 3:
        kept = _without_one(size)
        size, spacing = tuple(size[axis] for axis in kept), tuple(spacing[axis] for axis in kept if spacing)
    return Header(
        path,
        kind,
        size,
        len(size),
        grid.channels,
        spacing=spacing,
        frames=grid.frames,
        remarks=grid.remarks,
        data_file=grid.data_file,
    )


def _without_one(size: tuple[int, ...]) -> list[int]:
    """The axes but the first of length 1."""
    single = size.index(1)
    return [axis for axis in range(len(size)) if axis != single]


def _chosen_frame(reference: Reference, grid: VoxelGrid) -> int:
    if reference.member is not None:
        number = member_number(reference, "frame")
        if number >= grid.frames:
            raise ImageError(reference.text, f"the file has frames 0 to {grid.frames - 1}")
        return number
    if grid.frames != 1:
        what = "volumes" if len(grid.spatial) == 3 else "images"
        raise ImageError(
            reference.text,
            f"{grid.frames} {what} in one file (shape {times(grid.shape)})",
            "name one with #frame/N, N from 0",
        )
    return 0


def _stored(
    path: str, grid: VoxelGrid, source: bytes, number: int, limits: ReadLimits
) -> NDArray[np.generic]:
    """One frame's values `[i, j(, k), channels]`, in the file's order."""
    first, length = grid.skip, grid.frame_bytes
    if grid.frames_follow:
        first += number * length
    else:
        length *= grid.frames
    limits.check_bytes(path, first + length)
    at = grid.start if grid.start >= 0 else len(source) - grid.frames * grid.frame_bytes
    if at < 0:
        raise ImageError(path, f"truncated: {len(source):,} bytes in all, voxels among them", "copy it again")
    for _ in range(grid.lines):
        at = source.find(b"\n", at) + 1
        if not at:
            raise ImageError(path, "truncated: fewer lines than are to be passed over", "copy it again")
    voxels = voxel_bytes(path, memoryview(source)[at:], grid.packing, first, length)
    values = np.frombuffer(voxels, grid.dtype)
    kept = [axis for axis in range(len(grid.shape)) if axis not in grid.frame_axes]
    if grid.frames_follow:
        frame = values.reshape([grid.shape[axis] for axis in kept], order="F")
    else:
        counts = [grid.shape[axis] for axis in grid.frame_axes]
        chosen: list[Any] = [slice(None)] * len(grid.shape)
        for axis, index in zip(grid.frame_axes, np.unravel_index(number, counts, order="F"), strict=True):
            chosen[axis] = int(index)
        frame = values.reshape(grid.shape, order="F")[tuple(chosen)]
    if grid.colour is None:
        return frame[..., np.newaxis]
    return np.moveaxis(frame, kept.index(grid.colour), -1)


def _placed(pixels: NDArray[np.generic], grid: VoxelGrid) -> tuple[NDArray[np.generic], Geometry]:
    """`[i, j(, k), channels]` as the image's axes, with the way back."""
    if grid.affine is not None:
        if pixels.ndim == 3:
            pixels = pixels[:, :, np.newaxis]
        return in_one_orientation(pixels, grid.affine, grid.remarks)
    rank = pixels.ndim - 1
    pixels = np.transpose(pixels, (*range(rank)[::-1], rank))
    spacing = None if grid.spacing is None else grid.spacing[::-1]
    geometry = Geometry(spacing, remarks=grid.remarks)
    if rank == 3 and 1 in pixels.shape[:3]:
        kept = _without_one(pixels.shape[:3])
        pixels = np.squeeze(pixels, axis=pixels.shape.index(1))
        spacing = None if spacing is None else tuple(spacing[axis] for axis in kept)
        return pixels, replace(geometry, spacing=spacing)
    return pixels, geometry
