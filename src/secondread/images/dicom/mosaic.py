"""Siemens mosaics: the slices of a volume as tiles of one picture, taken apart.

The number of tiles is a private element (0019,100A) or stands in the private CSA header (0029,1010), which
also holds the direction in which the tiles follow one another. Tiles lie row by row on a square grid, and
the header's position is that of the corner of a single slice as large as the whole picture (nibabel's notes
on mosaics, and Li et al., The first step for neuroimaging data analysis, J Neurosci Methods 264, 2016).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.dicom.dataset import text
from secondread.images.dicom.geometry import Plane, moved, plane_of
from secondread.images.dicom.numbers import HeaderValueError, number, whole_number

if TYPE_CHECKING:
    from pydicom import Dataset

MOSAIC_TAGS = (0x00190010, 0x0019100A, 0x00290010, 0x00291010)
"""The private elements, with their creators, that tell a mosaic."""
_MOST_TILES = 4096
_CONVERT = "convert it to NIfTI, or export its slices"


def mosaic_tiles(dataset: Dataset) -> int | None:
    """How many slices the picture holds; None where it is no mosaic.

    Raises HeaderValueError where the header calls it a mosaic and does not say of how many slices, or where
    they do not fit the picture.
    """
    count = _private_count(dataset)
    if "MOSAIC" not in text(dataset, "ImageType").upper().split("\\") and (count or 0) <= 1:
        return None
    count = count or _whole(_csa(dataset, "NumberOfImagesInMosaic"))
    if count is None or not 1 <= count <= _MOST_TILES:
        raise HeaderValueError(
            "a mosaic: several slices in one picture, and the header does not say how many", _CONVERT
        )
    side = math.ceil(math.sqrt(count))
    rows, columns = whole_number(dataset, "Rows"), whole_number(dataset, "Columns")
    if rows % side or columns % side:
        raise HeaderValueError(
            f"a mosaic of {count} slices that do not fit {rows}×{columns} pixels", _CONVERT
        )
    return count


def tile_size(rows: int, columns: int, tiles: int) -> tuple[int, int]:
    """Rows and columns of one slice in a mosaic of `tiles`."""
    side = math.ceil(math.sqrt(tiles))
    return rows // side, columns // side


def take_apart(picture: NDArray[Any], tiles: int) -> NDArray[Any]:
    """`[rows, columns, …]` of the whole picture to `[tiles, rows, columns, …]`; empty tiles are dropped."""
    side = math.ceil(math.sqrt(tiles))
    rows, columns = tile_size(picture.shape[0], picture.shape[1], tiles)
    cut = picture.reshape(side, rows, side, columns, *picture.shape[2:]).swapaxes(1, 2)
    return np.ascontiguousarray(cut.reshape(side * side, rows, columns, *picture.shape[2:])[:tiles])


def put_together(tiles: NDArray[Any]) -> NDArray[Any]:
    """The way back: `[tiles, rows, columns]` to the picture `[rows, columns]`; tiles that are left over hold
    the lowest value."""
    count, rows, columns = tiles.shape
    side = math.ceil(math.sqrt(count))
    whole = np.full((side * side, rows, columns), tiles.min(), tiles.dtype)
    whole[:count] = tiles
    joined = whole.reshape(side, side, rows, columns).swapaxes(1, 2)
    return np.ascontiguousarray(joined.reshape(side * rows, side * columns))


def mosaic_planes(dataset: Dataset, tiles: int) -> tuple[list[Plane] | None, tuple[str, ...]]:
    """A plane for each tile, or None where the header does not place the picture; and what is to be said."""
    remarks: tuple[str, ...] = (f"a mosaic, taken apart into {tiles} slices",)
    whole = plane_of(dataset)
    step = number(dataset, "SpacingBetweenSlices") or (None if whole is None else whole.thickness)
    if whole is None or not step:
        return None, remarks
    rows, columns = whole_number(dataset, "Rows"), whole_number(dataset, "Columns")
    inner = tile_size(rows, columns, tiles)
    corner = (
        whole.origin
        + whole.along_rows * whole.row_spacing * (rows - inner[0]) / 2
        + whole.along_columns * whole.column_spacing * (columns - inner[1]) / 2
    )
    first = replace(whole, origin=corner)
    normal = _csa(dataset, "SliceNormalVector")
    if len(normal) != 3:
        remarks = (
            *remarks,
            "the mosaic's header does not say in which direction its slices follow: presumed",
        )
    elif float(np.dot(normal, whole.normal)) < 0:
        step = -step
    return [moved(first, step * tile) for tile in range(tiles)], remarks


def _private_count(dataset: Dataset) -> int | None:
    try:
        return int(dataset.private_block(0x0019, "SIEMENS MR HEADER")[0x0A].value)
    except Exception:
        return None


def _csa(dataset: Dataset, name: str) -> list[float]:
    """The values of a tag in the CSA image header; empty where there is none that can be read."""
    from nibabel.nicom.csareader import get_csa_header

    try:
        header = get_csa_header(dataset, "image")
        return [float(one) for one in header["tags"][name]["items"]] if header else []
    except Exception:
        return []


def _whole(values: list[float]) -> int | None:
    return int(values[0]) if values and math.isfinite(values[0]) else None
