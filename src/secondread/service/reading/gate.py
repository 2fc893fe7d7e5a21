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
UNKNOWN = 0.8
"""What is expected of `turned` where the bundle cannot say."""
MOST_TURNED = 300
"""Thumbnails that are turned to see what is expected."""
FEWEST = 20
"""Calibration normals below which their spread says nothing, and no distance is judged."""


@dataclass(frozen=True)
class Look:
    """problem  why the image is not what the bundle reads, in plain words; empty where it may be
    figures  thumbnail, spectrum  in robust standard deviations of the normals' log distances above their
                                  median
             distance             the length of both, as far as they are positive, over that of the 99 %
                                  quantiles of calibration normals
             turned               how many times nearer the image comes to the normals when it is turned, over
                                  what is expected of normals"""

    problem: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LogSpread:
    """Log distances of calibration normals: median, robust standard deviation (1.4826 MAD), and their 99 %
    quantile in these units, at least 1."""

    median: float
    sd: float
    reach: float

    @classmethod
    def of(cls, calibration: Calibration) -> Self | None:
        """None where too few normals, or ones that do not differ, calibrated the baseline."""
        distances = raw_distances(calibration)
        if distances.size < FEWEST:
            return None
        logs = np.log(np.maximum(distances, 0.0) + SMALLEST)
        median = float(np.median(logs))
        sd = 1.4826 * float(np.median(np.abs(logs - median)))
        if sd <= 0:
            return None
        return cls(median, sd, max(1.0, (float(np.quantile(logs, 0.99)) - median) / sd))

    def place(self, distance: float) -> float:
        return (math.log(max(distance, 0.0) + SMALLEST) - self.median) / self.sd


@dataclass(frozen=True)
class Gate:
    """Judges prepared images by the settings' limits. Without thumbnails (`left_out`) the spectrum alone
    does.

    expected  how many times nearer to the normals a normal image comes when it is turned: below 1 where the
              body part has an up and a down
    """

    settings: GateSettings
    nearest: Asked | None = None
    spectrum: Asked | None = None
    spreads: Mapping[str, LogSpread] = field(default_factory=dict)
    expected: float = 1.0

    @classmethod
    def of(cls, model: FittedModel, settings: GateSettings) -> Self:
        baselines: Mapping[str, Baseline] = model.baselines
        spreads = {
            name: spread
            for name in (NEAREST, SPECTRUM)
            if name in baselines and (spread := LogSpread.of(baselines[name].calibration)) is not None
        }
        asked = {name: baselines[name].asked for name in (NEAREST, SPECTRUM) if name in baselines}
        return cls(settings, asked.get(NEAREST), asked.get(SPECTRUM), spreads, expected_turned(model))

    def look(self, image: Prepared) -> Look:
        """Judge one image."""
        figures: dict[str, float] = {}
        if not self.settings.on:
            return Look("")
        undone = ""
        if self.nearest is not None:
            ways = turned(image.pixels, image.valid)
            found = _distances(self.nearest, image, [image.pixels, *ways.values()])
            if NEAREST in self.spreads:
                figures["thumbnail"] = self.spreads[NEAREST].place(float(found[0]))
            best = int(np.argmin(found[1:]))
            undone = list(ways)[best]
            nearer = (found[0] + SMALLEST) / (found[1 + best] + SMALLEST)
            figures["turned"] = float(nearer) / self.expected
        if self.spectrum is not None and SPECTRUM in self.spreads:
            distance = float(_distances(self.spectrum, image, [image.pixels])[0])
            figures["spectrum"] = self.spreads[SPECTRUM].place(distance)
        if self.spreads:
            names = {NEAREST: "thumbnail", SPECTRUM: "spectrum"}
            far = math.hypot(*(max(0.0, figures[names[name]]) for name in self.spreads))
            figures["distance"] = far / math.hypot(*(one.reach for one in self.spreads.values()))
        return Look(self._problem(figures, undone), figures)

    def _problem(self, figures: Mapping[str, float], undone: str) -> str:
        if figures.get("turned", 0.0) > self.settings.turned:
            return f"it comes nearer to what the bundle knows as normal when {undone}, so it seems to be so"
        if figures.get("distance", 0.0) > self.settings.distance:
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


def raw_distances(calibration: Calibration) -> NDArray[np.float64]:
    """The distances of calibration normals, of which a baseline's calibration made scores; ascending."""
    scores = calibration.images.scores
    ((_, scale),) = [one for one in calibration.mixture.parts.items() if one[1].weight != 0.0]
    if not calibration.mixture.scaled:
        return scores / scale.weight
    return scores / scale.weight * scale.sd + scale.mean


def expected_turned(model: FittedModel) -> float:
    """What `turned` is expected to be of the least fortunate of 100 normals.

    The bundle's thumbnails are turned, and their distances to the nearest thumbnail held against those of
    calibration normals as they are, quantile by quantile: an image that is far from all others is so when it
    is turned as well. `UNKNOWN` where the bundle has no thumbnails at hand, as an exported one, or too few
    calibration normals.
    """
    companions = getattr(model, "companions", None)
    detector = getattr(companions, "detectors", {}).get(NEAREST)
    if detector is None or NEAREST not in model.baselines:
        return UNKNOWN
    distances = raw_distances(model.baselines[NEAREST].calibration)
    if distances.size < FEWEST or len(detector.bank) < FEWEST:
        return UNKNOWN
    from secondread.estimators.nearest import nearest

    bank = detector.bank.float().cpu()
    some = bank[:: max(1, len(bank) // MOST_TURNED)]
    images = some.numpy().reshape(len(some), detector.channels, *detector.thumbnail)
    rows = [list(turned(image).values()) for image in images]
    flat = bank.new_tensor(np.asarray(rows, np.float32)).reshape(-1, bank.shape[1])
    found = nearest(flat, bank, 1)[0][:, 0].numpy().reshape(len(rows), -1).min(axis=1)
    levels = np.linspace(0.01, 0.99, 99)
    as_they_are = np.quantile(np.maximum(distances, 0.0), levels) + SMALLEST
    when_turned = np.quantile(found / bank.shape[1] ** 0.5, levels) + SMALLEST
    return float((as_they_are / when_turned).max())
