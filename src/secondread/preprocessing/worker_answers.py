"""Whether what a worker sent is a prepared image that the rest may rely on.

The way of sending (`images.workers.messages`) sees to the types. A decoder that a file has taken over could
still send an image of another size, which would end the whole batch, or a placement that claims all memory
for a map.
"""

from __future__ import annotations

import math
import re

import numpy as np

from secondread.images.image import Geometry
from secondread.preprocessing.placement import Placement
from secondread.preprocessing.prepared import Prepared

_DIGEST = re.compile(r"[0-9a-f]{40}")


def is_sound(prepared: Prepared, channels: int, size: tuple[int, ...], max_voxels: int) -> bool:
    """Whether all arrays have the sizes that preprocessing gives, and the way back to the file is one."""
    return (
        prepared.pixels.shape == (channels, *size)
        and bool(np.isfinite(prepared.pixels).all())
        and (prepared.valid is None or prepared.valid.shape == size)
        and prepared.thumbnail.shape == (16, 16)
        and all(_DIGEST.fullmatch(text) for text in (prepared.digest, prepared.content))
        and _leads_back(prepared.placement, size, max_voxels)
    )


def _leads_back(placement: Placement, size: tuple[int, ...], max_voxels: int) -> bool:
    grid, rank = placement.grid, len(size)
    if grid.size != size or any(len(each) != rank for each in (grid.array_size, grid.scale, grid.offset)):
        return False
    if min(grid.array_size) < 1 or math.prod(grid.array_size) > max_voxels:
        return False
    if not all(map(math.isfinite, (*grid.scale, *grid.offset))) or min(grid.scale) <= 0:
        return False
    moved = placement.alignment
    if moved is not None and (moved.shape != (rank + 1, rank + 1) or not np.isfinite(moved).all()):
        return False
    return _is_geometry(placement.geometry, rank)


def _is_geometry(geometry: Geometry, rank: int) -> bool:
    axes, flips = geometry.file_axes, geometry.file_flips
    return (
        (axes is None or sorted(axes) == list(range(rank)))
        and (flips is None or len(flips) == rank)
        and (geometry.spacing is None or len(geometry.spacing) == rank)
        and all(each is None or each.shape == (4, 4) for each in (geometry.affine, geometry.file_affine))
    )
