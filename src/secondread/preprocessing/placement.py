"""Placement: where the prepared image lies in its file, and the way back for maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from secondread.images.image import Geometry
from secondread.preprocessing.alignment.warp import inside_of, inverse, warp
from secondread.preprocessing.grid import Grid
from secondread.wording.short import Short


@dataclass(frozen=True, repr=False)
class Placement(Short):
    """How one image was brought to the prepared grid, in numbers that JSON can hold.

    grid        the prepared grid over the image's array
    alignment   (rank + 1)² homogeneous matrix from index on the aligned image to index on the same grid
                before the alignment, or None
    aligned     what the alignment did: `aligned`, `bounded` (it wanted to go further than its bounds),
                `left in place: why`; None where the recipe has no align step
    similarity  correlation with the mean normal image before and after, or None
    geometry    the file's
    remarks     what a person should know about this image (a window that the header did not give, …)
    """

    grid: Grid
    geometry: Geometry
    alignment: NDArray[np.float64] | None = None
    aligned: str | None = None
    similarity: tuple[float, float] | None = None
    remarks: tuple[str, ...] = ()

    def to_file_grid(self, array: NDArray[np.floating], outside: float | None = None) -> NDArray[np.float32]:
        """A map `[*size]` on the prepared grid, brought to the file's own grid and axis order.

        Interpolation is linear, antialiased where the file's grid is coarser. What preprocessing padded is
        dropped. File pixels that the prepared image does not show (cropped away, or pushed out by the
        alignment) get `outside`; None = the lowest value of the map, so that nothing unseen stands out.
        """
        values = np.ascontiguousarray(array, dtype=np.float32)
        if values.shape != self.grid.size:
            raise ValueError(f"a map of size {values.shape}, and the prepared grid is {self.grid.size}")
        fill = float(values.min()) if outside is None else outside
        if self.alignment is not None:
            values = warp(values, inverse(self.alignment), order=1)
        brought = self.grid.bring_back(values)
        seen = self._seen()
        if not seen.all():
            brought = np.where(seen, brought, np.float32(fill))
        return self.geometry.to_file_axes(brought).astype(np.float32, copy=False)

    def seen_on_file_grid(self) -> NDArray[np.bool_]:
        """Where on the file's grid the prepared image shows the file's pixel."""
        return self.geometry.to_file_axes(self._seen()).astype(bool, copy=False)

    def _seen(self) -> NDArray[np.bool_]:
        seen = self.grid.seen()
        if self.alignment is not None:
            kept = inside_of(self.grid.size, inverse(self.alignment)).astype(np.float32)
            seen &= self.grid.bring_back(kept) >= 0.5
        return seen

    def to_json(self) -> dict[str, Any]:
        return {
            "size": list(self.grid.size),
            "array_size": list(self.grid.array_size),
            "scale": list(self.grid.scale),
            "offset": list(self.grid.offset),
            "alignment": None if self.alignment is None else self.alignment.tolist(),
            "aligned": self.aligned,
            "similarity": None if self.similarity is None else list(self.similarity),
            "geometry": _geometry_to_json(self.geometry),
            "remarks": list(self.remarks),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        grid = Grid(
            tuple(data["size"]), tuple(data["array_size"]), tuple(data["scale"]), tuple(data["offset"])
        )
        similarity = data["similarity"]
        return cls(
            grid,
            _geometry_from_json(data["geometry"]),
            None if data["alignment"] is None else np.asarray(data["alignment"], float),
            data["aligned"],
            None if similarity is None else (similarity[0], similarity[1]),
            tuple(data["remarks"]),
        )


def _geometry_to_json(geometry: Geometry) -> dict[str, Any]:
    return {
        "spacing": None if geometry.spacing is None else [float(s) for s in geometry.spacing],
        "affine": None if geometry.affine is None else geometry.affine.tolist(),
        "file_axes": None if geometry.file_axes is None else [int(a) for a in geometry.file_axes],
        "file_flips": None if geometry.file_flips is None else [bool(f) for f in geometry.file_flips],
        "file_affine": None if geometry.file_affine is None else geometry.file_affine.tolist(),
        "remarks": list(geometry.remarks),
        "slice_origins": None if geometry.slice_origins is None else geometry.slice_origins.tolist(),
    }


def _geometry_from_json(data: Mapping[str, Any]) -> Geometry:
    return Geometry(
        None if data["spacing"] is None else tuple(data["spacing"]),
        None if data["affine"] is None else np.asarray(data["affine"], float),
        None if data["file_axes"] is None else tuple(data["file_axes"]),
        None if data["file_flips"] is None else tuple(data["file_flips"]),
        None if data["file_affine"] is None else np.asarray(data["file_affine"], float),
        tuple(data["remarks"]),
        None if data["slice_origins"] is None else np.asarray(data["slice_origins"], float),
    )
