"""Channels: grey stays one channel, colour has three, alpha is composited away."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.precision import LARGEST_FLOAT32, beyond_float32


def channels_first(pixels: NDArray[Any], header: dict[str, str]) -> NDArray[Any]:
    """`[*spatial, 1 | 2 | 3 | 4]` (grey, grey and alpha, RGB, RGBA) as `[1 or 3, *spatial]`.

    Alpha is composited on black and noted in `header["alpha"]` as "opaque" or "composited on black". Colour
    whose three channels are equal is grey stored as colour: one channel is kept and `header["mode"]` says so.
    """
    count = pixels.shape[-1]
    if count in (2, 4):
        pixels = _without_alpha(pixels, header)
    if pixels.shape[-1] == 3 and _equal_channels(pixels):
        pixels = pixels[..., :1]
        header["mode"] = f"{header.get('mode', 'RGB')} with equal channels, read as grey"
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


def _equal_channels(pixels: NDArray[Any]) -> bool:
    first = pixels[..., 0]
    probe = (slice(None, None, 37),) * (pixels.ndim - 1)
    if not np.array_equal(first[probe], pixels[..., 1][probe]):
        return False
    return np.array_equal(first, pixels[..., 1]) and np.array_equal(first, pixels[..., 2])


def _without_alpha(pixels: NDArray[Any], header: dict[str, str]) -> NDArray[Any]:
    colour, alpha = pixels[..., :-1], pixels[..., -1:]
    if pixels.dtype == np.bool_ or not np.issubdtype(pixels.dtype, np.integer):
        header["alpha"] = "ignored"
        return colour
    full = np.iinfo(pixels.dtype).max
    if (alpha == full).all():
        header["alpha"] = "opaque"
        return colour
    header["alpha"] = "composited on black"
    blended = colour.astype(np.float64) * (alpha.astype(np.float64) / full)
    return np.rint(blended).astype(pixels.dtype)


def refuse_non_finite(path: str, pixels: NDArray[Any], ignore: NDArray[np.bool_] | None = None) -> None:
    """Raise ImageError with the count where `[channels, *spatial]` floats hold NaN, infinity, or numbers that
    float32, in which everything is computed, would make infinite.

    Voxels that are True in `ignore` `[*spatial]` (declared padding) may hold anything.
    """
    from secondread.images.image import ImageError

    if not np.issubdtype(pixels.dtype, np.floating):
        return
    bad = ~np.isfinite(pixels)
    if ignore is not None:
        bad &= ~ignore
    if bad.any():
        nan = int((np.isnan(pixels) & bad).sum())
        infinite = int(bad.sum()) - nan
        raise ImageError(
            path,
            f"{nan:,} NaN and {infinite:,} infinite of {pixels.size:,} values",
            "replace them before reading, for example by the value of the background",
        )
    if pixels.dtype.itemsize > 4:
        beyond = beyond_float32(pixels if ignore is None else pixels[:, ~ignore])
        if beyond:
            raise ImageError(
                path,
                f"{beyond:,} of {pixels.size:,} values are beyond ±{LARGEST_FLOAT32:.1e}, the end of float32",
                "scale them before reading",
            )
