"""The turn that a picture's EXIF or TIFF tag asks for: pixels are turned as a viewer shows them.

Cameras and scanners store rows as the sensor gave them, and say in the tag Orientation (TIFF 6.0, and the
same in EXIF 2.3) how to show them. A picture is turned on reading, whatever its format; `Geometry` keeps
the way back, so that maps lie on the file's own grid.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.image import Geometry

ORIENTATION_TAG = 0x0112
TURNED = "turned as its orientation tag asks for; maps lie on the file's own grid"


@dataclass(frozen=True)
class Turn:
    """From stored rows and columns to shown ones; `axes` and `flips` are Geometry's file_axes, file_flips."""

    axes: tuple[int, int]
    flips: tuple[bool, bool]

    def apply(self, stored: NDArray[Any]) -> NDArray[Any]:
        """`[..., rows, columns]` as they are shown."""
        rows, columns = (slice(None, None, -1 if flip else 1) for flip in self.flips)
        turned = stored[..., rows, columns]
        return np.swapaxes(turned, -1, -2) if self.axes == (1, 0) else turned

    def geometry(self, rank: int, remarks: tuple[str, ...] = ()) -> Geometry:
        """The way back to the file's grid, for a picture (rank 2) or pages of pictures (rank 3)."""
        first = rank - 2
        return Geometry(
            file_axes=(*range(first), *(first + axis for axis in self.axes)),
            file_flips=(*(False,) * first, *self.flips),
            remarks=(*remarks, TURNED),
        )

    def size(self, rows: int, columns: int) -> tuple[int, int]:
        """Shown rows and columns of a picture stored with so many."""
        return (columns, rows) if self.axes == (1, 0) else (rows, columns)


_TURNS = {
    2: Turn((0, 1), (False, True)),
    3: Turn((0, 1), (True, True)),
    4: Turn((0, 1), (True, False)),
    5: Turn((1, 0), (False, False)),
    6: Turn((1, 0), (True, False)),
    7: Turn((1, 0), (True, True)),
    8: Turn((1, 0), (False, True)),
}


def turn_of(orientation: object) -> Turn | None:
    """The turn for a value of the tag; None for 1 (as stored) and for values that the standard lacks."""
    return _TURNS.get(orientation) if isinstance(orientation, int) else None


def orientation_of(geometry: Geometry) -> int:
    """The tag's value with which an array on the file's own grid is shown as the image is; else 1."""
    axes, flips = geometry.file_axes or (0, 1), geometry.file_flips or (False, False)
    return next((tag for tag, turn in _TURNS.items() if (turn.axes, turn.flips) == (axes, flips)), 1)


def turn_asked_by(picture: Any) -> Turn | None:
    """The turn in the EXIF or XMP of a picture that PIL has opened; metadata in disorder ask for none."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return turn_of(picture.getexif().get(ORIENTATION_TAG))
    except Exception:
        return None
