"""An array that is in memory already becomes an image, as a file does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.image import Geometry, Image, ImageError
from secondread.images.source import digest_of
from secondread.wording.numbers import count

CHANNELS = (1, 3)
"""Of a grey and of a colour image."""


def single_arrays(given: Any, rank: int, files: int = 1) -> list[Any]:
    """The single images in an array or tensor `[n, *spatial]` or `[n, C, *spatial]`, or in a list of images.

    rank   of the images, which alone decides what the axes are: `(8, 3, 64, 64)` are colour pictures where
           the rank is 2, and are refused where it is 3, for volumes have 3 slices as seldom as one
    files  how many channels of their own an image may have, besides 1 and 3

    Raises ImageError, with what to give in its place, for an array that is no stack of such images. The
    images of a list are looked at one by one (`image_of`).
    """
    if not (hasattr(given, "__array__") or hasattr(given, "detach")):
        return list(given)
    shape = tuple(given.shape)
    if len(shape) not in (rank + 1, rank + 2):
        advice = f"give [n, *spatial] or [n, C, *spatial], {rank + 1} or {rank + 2} axes"
        if len(shape) == rank:
            advice += "; of one image images[None]"
        raise ImageError("the images", f"an array of shape {shape} is no stack of {_KINDS[rank]}", advice)
    if len(shape) == rank + 2:
        _refuse_channels("the images", shape[1:], rank, files)
    elif len(given):
        _refuse_thin("the images", shape[1:], rank)
    return list(given)


_KINDS = {2: "pictures (2 spatial axes)", 3: "volumes (3 spatial axes)"}


def _refuse_channels(source: str, shape: Sequence[int], rank: int, files: int) -> None:
    """Raise ImageError where `[C, *spatial]` has another number of channels than an image may have."""
    if shape[0] in (*CHANNELS, files):
        return
    if shape[-1] in CHANNELS:
        advice = f"its last axis seems to be the channels: move it with np.moveaxis(images, -1, {-rank - 1})"
    elif rank == 2:
        advice = (
            "a stack of slices is a volume: take a recipe for volumes (rank=3 of manifest_of_arrays), or "
            "give each slice as an image"
        )
    else:
        advice = f"give [C, *spatial] with C 1 or 3{f' or {files}' if files > 1 else ''}"
    raise ImageError(source, f"{shape[0]} channels in an image of shape {tuple(shape)}", advice)


def _refuse_thin(source: str, shape: Sequence[int], rank: int) -> None:
    """Raise ImageError where `[slices, rows, columns]` may as well be a picture with its channels."""
    if rank == 3 and shape[0] in CHANNELS:
        raise ImageError(
            source,
            f"an image of shape {tuple(shape)} may be a volume of {count(shape[0], 'slice')} or a picture "
            "with its channels",
            f"give a volume as [1, {', '.join(map(str, shape))}], and pictures to a recipe for pictures",
        )


def array_of(given: Any) -> NDArray[Any]:
    """An array, a tensor on any device, or whatever NumPy takes, as an array."""
    if hasattr(given, "detach"):
        given = given.detach().cpu()
        if str(given.dtype) == "torch.bfloat16":
            given = given.float()
    return np.asarray(given)


def image_of(
    array: Any,
    rank: int,
    *,
    spacing: Sequence[float] | None = None,
    source: str = "the image",
    files: int | None = None,
) -> Image:
    """The array as an image of that rank, in its own values: `[*spatial]` (grey) or `[C, *spatial]`.

    array    anything that NumPy takes, a tensor on any device among it; integers or floats
    spacing  millimetres between neighbours along each spatial axis, where a recipe resamples
    source   what messages call it
    files    how many channels it may have besides 1 and 3; None = any number

    Its axes are taken as they are: nothing turns a volume, as reading a file does, into one orientation for
    all. Its type counts as a file's does: `window: header` shows uint8 and uint16 over their whole range, and
    other numbers from their lowest to their highest. Its digest is that of its bytes.

    Raises ImageError where it is no such array.
    """
    pixels = array_of(array)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8)
    if pixels.dtype.kind not in "uif":
        raise ImageError(source, f"an array of {pixels.dtype} is no image", "give integers or floats")
    if pixels.ndim not in (rank, rank + 1) or not pixels.size:
        raise ImageError(
            source,
            f"an array of shape {pixels.shape} is no image with {rank} spatial axes",
            f"give [*spatial] or [C, *spatial], {rank} or {rank + 1} axes",
        )
    if pixels.ndim == rank:
        _refuse_thin(source, pixels.shape, rank)
    elif files is not None:
        _refuse_channels(source, pixels.shape, rank, files)
    if spacing is not None and not np.iterable(spacing):
        raise ImageError(source, f"the spacing {spacing!r} is one number", "give one for each axis")
    if spacing is not None and (len(spacing) != rank or not all(0 < step < np.inf for step in spacing)):
        raise ImageError(
            source, f"the spacing {tuple(spacing)} is not {rank} millimetres above 0", "one for each axis"
        )
    pixels = np.ascontiguousarray(pixels if pixels.ndim == rank + 1 else pixels[np.newaxis])
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    geometry = Geometry(None if spacing is None else tuple(float(step) for step in spacing))
    return Image(pixels, geometry, source, digest_of(pixels.tobytes()))
