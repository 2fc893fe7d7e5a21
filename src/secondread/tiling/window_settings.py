"""What a recipe says about its window. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from secondread.settings.base import Count, Draws, Settings, Side
from secondread.tiling.tiles import Blend, corner_count
from secondread.wording.sizes import times

MOST_TILES = 1 << 16
"""Of one image."""


class WindowSettings(Settings):
    """A window through which the detector sees its images.

    In training each image gives `patches` patches of `size` an epoch, at random places, drawn anew in every
    epoch; patches whose features are kept, and those of held-out normals, stay where they are. At scoring
    tiles of `size` cover the image, and their maps are blended.

    size      pixels along each axis, as the detector sees them
    overlap   share of a tile that the next one along an axis covers too, at least
    patches   of each image in an epoch
    content   the share of a patch that is valid, at least; a place is drawn up to 50 times, and the one with
              the largest share stays where none has so much
    blend     weights of a tile's pixels where tiles overlap: a Gaussian whose standard deviation is an eighth
              of the tile's side, or alike
    score     what the parts of the tiles become: their mean, weighted by the tiles' valid pixels; the
              largest; the mean of the `top` largest; or the quantile `quantile`. A part that is abnormal in
              both directions is always averaged

    >>> from secondread.tiling.window_settings import WindowSettings
    >>> WindowSettings(size=(32, 32, 32)).score
    'max'
    """

    size: tuple[Side, ...] = Field(min_length=2, max_length=3)
    overlap: float = Field(0.5, ge=0.0, le=0.9)
    patches: Draws = 16
    content: float = Field(0.0, ge=0.0, le=1.0)
    blend: Blend = "gaussian"
    score: Literal["mean", "max", "top", "quantile"] = "max"
    top: Count = 5
    quantile: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95

    def refuse_misfit(self, size: Sequence[int]) -> None:
        """ValueError where images of `size` cannot be seen through the window."""
        if len(self.size) != len(size) or any(a > b for a, b in zip(self.size, size, strict=True)):
            raise ValueError(
                f"window.size is {times(self.size)}, and preprocessing.size is {times(size)}; a window has "
                "as many axes as the images and is not longer along any"
            )
        tiles = corner_count(size, self.size, self.overlap)
        if tiles > MOST_TILES:
            raise ValueError(
                f"window.size {times(self.size)} cuts images of {times(size)} into {tiles:,} tiles, and "
                f"{MOST_TILES:,} are the most; set a larger window or a smaller overlap"
            )
