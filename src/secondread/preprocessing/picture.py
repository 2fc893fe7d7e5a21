"""What preprocessing's intensity steps pass from one to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from secondread.images.image import Image, ImageError
from secondread.images.precision import as_float


@dataclass(frozen=True)
class Picture:
    """Values on the image's own grid while steps work on them.

    values   float32 `[C, *spatial]`, finite everywhere; float64 before the first step where float32 could not
             tell the file's values apart (a great offset)
    valid    bool `[*spatial]`, False where the file holds no image (pixel padding, non-finite voxels);
             None = valid everywhere
    image    what was read, for its header
    remarks  what a person should know about this one image
    """

    values: NDArray[np.floating]
    valid: NDArray[np.bool_] | None
    image: Image
    remarks: tuple[str, ...] = ()

    def with_values(self, values: NDArray[np.floating]) -> Self:
        return replace(self, values=values.astype(np.float32, copy=False))

    def with_remark(self, remark: str) -> Self:
        return replace(self, remarks=(*self.remarks, remark))

    def differ(self, spread: float, largest: float) -> bool:
        """Whether a spread of values, of which the largest is so far from 0, is more than rounding."""
        return spread > (1e-6 if self.values.dtype == np.float32 else 1e-14) * abs(largest)

    def shifted(self, by: float) -> NDArray[np.floating]:
        """values − by, in float64 only where the values are, or where float32 could overflow (it takes half
        the memory).
        """
        if self.values.dtype == np.float64:
            return self.values - by
        largest = max(abs(float(self.values.min())), abs(float(self.values.max())), abs(by))
        if largest > 1e30:
            return np.subtract(self.values, by, dtype=np.float64)
        return self.values - np.float32(by)

    def sample(self, over: str) -> NDArray[np.floating]:
        """The values that a statistic is taken over, flat: `all` valid ones, or the `foreground`, those
        above the picture's lowest value (a skull-stripped or collimated background is exactly that).
        """
        values = self.values if self.valid is None else self.values[:, self.valid]
        flat = values.reshape(-1)
        if over == "foreground":
            above = flat[flat > flat.min()]
            return above if above.size else flat
        return flat


def picture_of(image: Image) -> Picture:
    """The image as floats, with voxels that hold no image set to the lowest valid value.

    Raises ImageError where no voxel is finite.
    """
    values = as_float(image.pixels)
    if values is image.pixels:
        values = values.copy()
    valid = None if image.padding is None else ~image.padding
    remarks: tuple[str, ...] = ()
    if image.pixels.dtype.kind == "f":
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(axis=0))
        lost = int(finite.size - np.count_nonzero(finite))
        if lost:
            valid = finite if valid is None else valid & finite
            remarks = (f"{lost} of {finite.size} voxels are not finite and are ignored",)
            if lost == finite.size:
                raise ImageError(image.source, "no voxel is finite", "export the image again")
    if valid is not None:
        if valid.all():
            valid = None
        elif not valid.any():
            raise ImageError(
                image.source,
                "every pixel is marked as padding or not finite",
                "check PixelPaddingValue in the header",
            )
        else:
            values[:, ~valid] = values[:, valid].min()
    return Picture(values, valid, image, remarks)
