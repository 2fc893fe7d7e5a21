"""Input complexity: how many bits per dimension a lossless compressor needs for an image.

J. Serrà et al., "Input complexity and out-of-distribution detection with likelihood-based generative
models", ICLR 2020: likelihoods and reconstruction errors fall with simplicity, so that smooth images
look normal; complexity is what to hold against that.
"""

from __future__ import annotations

import io
import zlib

import numpy as np
from numpy.typing import NDArray

from secondread.calibration.calibration_settings import CalibrationSettings
from secondread.calibration.raw_scores import RawScores

COMPLEXITY = "complexity"
"""The part of RawScores that holds it."""


def complexity(pixels: NDArray[np.float32], value_range: tuple[float, float] | None = None) -> float:
    """`8 * compressed bytes / number of values` of a prepared image `[C, *spatial]`.

    The image is quantised to 8 bits over `value_range`, and by default over its own smallest to
    largest value. Grey and three-channel images are compressed as PNG, volumes and other channel
    numbers with zlib after differences along the last axis. Values depend slightly on the version of
    the compressor: fit and score with one. ValueError where a pixel is not finite.
    """
    if pixels.ndim < 3 or not pixels.size:
        raise ValueError(f"an image [C, *spatial] is expected, not one of shape {pixels.shape}")
    if not np.isfinite(pixels).all():
        raise ValueError("a pixel is not finite, so the image has no complexity")
    levels = _quantised(pixels, value_range)
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3):
        from PIL import Image as Picture  # few calibrations ask for it

        target = io.BytesIO()
        picture = levels[0] if pixels.shape[0] == 1 else np.ascontiguousarray(np.moveaxis(levels, 0, -1))
        Picture.fromarray(picture).save(target, format="PNG", compress_level=9)
        size = target.tell()
    else:
        differences = np.diff(levels, axis=-1, prepend=np.uint8(0))
        size = len(zlib.compress(differences.tobytes(), level=9))
    return 8.0 * size / pixels.size


def with_complexity(raw: RawScores, pixels: NDArray[np.float32], settings: CalibrationSettings) -> RawScores:
    """The raw scores with the part `complexity`, measured on the prepared images `[n, C, *size]`, where
    the calibration takes it out; else unchanged."""
    if settings.complexity == "none":
        return raw
    return raw.with_part(COMPLEXITY, np.array([complexity(image) for image in pixels]))


def _quantised(pixels: NDArray[np.float32], value_range: tuple[float, float] | None) -> NDArray[np.uint8]:
    values = pixels.astype(np.float64)
    low, high = value_range if value_range is not None else (float(values.min()), float(values.max()))
    if high <= low:
        return np.zeros(pixels.shape, dtype=np.uint8)
    return np.rint(255.0 * np.clip((values - low) / (high - low), 0.0, 1.0)).astype(np.uint8)
