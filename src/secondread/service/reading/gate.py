"""The gate on content: whether an image is what the bundle reads, by its pixels, whatever its header says.

Every bundle holds the trivial baselines of its fit, with their scores of calibration normals: how far an
image's thumbnail is from the nearest normal's, and its spectrum from theirs. A finding moves an image a
little away from the normals; another body part or modality moves it far; and an image that is turned or
inverted comes nearer to them when that is undone, which no finding does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from secondread.bundles.decisions import Asked, Baseline
from secondread.bundles.fitted_model import FittedModel
from secondread.calibration.calibration import Calibration
from secondread.preprocessing.prepared import Prepared
from secondread.service.settings.bundles import GateSettings

Pixels = NDArray[np.float32]
NEAREST, SPECTRUM = "pixel-1nn", "spectrum"
SMALLEST = 1e-6
"""Added to distances before their logarithm: an image of the fit has distance 0."""
FEWEST = 20
"""Calibration normals below which their spread says nothing, and no distance is judged."""


@dataclass(frozen=True)
class Look:
    """problem  why the image is not what the bundle reads, in plain words; empty where it may be
    figures  thumbnail, spectrum  in robust standard deviations of the normals' log distances above their
                                  median
             distance             the length of both, as far as they are positive
             turned               how many times nearer the image comes to the normals when it is turned"""

    problem: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LogSpread:
    """Median and robust standard deviation (1.4826 MAD) of log distances of calibration normals."""

    median: float
    sd: float

    @classmethod
    def of(cls, calibration: Calibration) -> Self | None:
        """None where too few normals, or ones that do not differ, calibrated the baseline."""
        scores = calibration.images.scores
        if scores.size < FEWEST:
            return None
        logs = np.log(np.maximum(_raw(scores, calibration), 0.0) + SMALLEST)
        median = float(np.median(logs))
        sd = 1.4826 * float(np.median(np.abs(logs - median)))
        return cls(median, sd) if sd > 0 else None

    def place(self, distance: float) -> float:
        return (math.log(max(distance, 0.0) + SMALLEST) - self.median) / self.sd


@dataclass(frozen=True)
class Gate:
    """Judges prepared images by the settings' limits. Without thumbnails (`left_out`) the spectrum alone
    does."""

    settings: GateSettings
    nearest: Asked | None = None
    spectrum: Asked | None = None
    spreads: Mapping[str, LogSpread] = field(default_factory=dict)

    @classmethod
    def of(cls, model: FittedModel, settings: GateSettings) -> Self:
        baselines: Mapping[str, Baseline] = model.baselines
        spreads = {
            name: spread
            for name in (NEAREST, SPECTRUM)
            if name in baselines and (spread := LogSpread.of(baselines[name].calibration)) is not None
        }
        asked = {name: baselines[name].asked for name in (NEAREST, SPECTRUM) if name in baselines}
        return cls(settings, asked.get(NEAREST), asked.get(SPECTRUM), spreads)

    def look(self, image: Prepared) -> Look:
        """Judge one image."""
        settings = self.settings
        figures: dict[str, float] = {}
        if not settings.on:
            return Look("")
        undone = ""
        if self.nearest is not None:
            ways = turned(image.pixels, image.valid)
            found = _distances(self.nearest, image, [image.pixels, *ways.values()])
            if NEAREST in self.spreads:
                figures["thumbnail"] = self.spreads[NEAREST].place(float(found[0]))
            best = int(np.argmin(found[1:]))
            undone = list(ways)[best]
            figures["turned"] = float((found[0] + SMALLEST) / (found[1 + best] + SMALLEST))
        if self.spectrum is not None and SPECTRUM in self.spreads:
            distance = float(_distances(self.spectrum, image, [image.pixels])[0])
            figures["spectrum"] = self.spreads[SPECTRUM].place(distance)
        if figures.keys() - {"turned"}:
            far = (max(0.0, figures.get(name, 0.0)) for name in ("thumbnail", "spectrum"))
            figures["distance"] = math.hypot(*far)
        return Look(self._problem(figures, undone), figures)

    def _problem(self, figures: Mapping[str, float], undone: str) -> str:
        settings = self.settings
        if figures.get("turned", 0.0) > settings.turned:
            return f"it comes nearer to what the bundle knows as normal when {undone}, so it seems to be so"
        if figures.get("distance", 0.0) > settings.distance:
            return "it is too far from every normal image that the bundle knows to be of the same kind"
        return ""


def turned(pixels: Pixels, valid: NDArray[np.bool_] | None = None) -> dict[str, Pixels]:
    """The image `[C, *size]` with what may have been done to it by mistake undone, by the words for it. Left
    and right are not exchanged: a patient may be so. Padding keeps its value."""
    inverted = pixels.min() + pixels.max() - pixels
    ways = {
        "it is turned by half": np.rot90(pixels, 2, (-2, -1)),
        "it is turned upside down": pixels[..., ::-1, :],
        "black and white are exchanged": inverted if valid is None else np.where(valid, inverted, pixels),
    }
    if pixels.shape[-1] == pixels.shape[-2]:
        ways["it is turned by a quarter to the left"] = np.rot90(pixels, 1, (-2, -1))
        ways["it is turned by a quarter to the right"] = np.rot90(pixels, 3, (-2, -1))
    return {words: np.ascontiguousarray(way, np.float32) for words, way in ways.items()}


def _distances(asked: Asked, image: Prepared, pixels: Sequence[Pixels]) -> NDArray[np.float64]:
    """The one part of a baseline for images on the grid of one."""
    valid = None
    if image.valid is not None:
        valid = np.repeat(image.valid[np.newaxis, np.newaxis], len(pixels), axis=0)
    raw = asked.batch(np.stack(pixels), valid, [image.digest] * len(pixels), maps=False)
    (part,) = raw.parts.values()
    return np.nan_to_num(np.asarray(part, np.float64), nan=np.inf)


def _raw(scores: NDArray[np.float64], calibration: Calibration) -> NDArray[np.float64]:
    """The distances of which calibration made scores."""
    ((_, scale),) = [one for one in calibration.mixture.parts.items() if one[1].weight != 0.0]
    if not calibration.mixture.scaled:
        return scores / scale.weight
    return scores / scale.weight * scale.sd + scale.mean
