"""By how much bfloat16 would move a detector's scores, and in which precision it is therefore asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from secondread.calibration.raw_scores import Floats, RawScores, concatenate
from secondread.detectors.contract import Detector
from secondread.networks.precision import DRIFT_IMAGES, MOST_DRIFT
from secondread.scoring.device import Precision, asked_precision, choose_precision
from secondread.scoring.image_source import ImageSource
from secondread.scoring.scorer import Scorer, read_ahead
from secondread.tiling.window_settings import WindowSettings

SCORE = "score"
"""The name of the mixture of parts, beside theirs."""


class ScoringPrecision(NamedTuple):
    """In which a detector is asked, and why where that is not what the machine would choose."""

    precision: Precision
    notes: tuple[str, ...] = ()


def scoring_precision(
    detector: Detector,
    name: str,
    normals: ImageSource,
    *,
    device: torch.device | str,
    window: WindowSettings | None = None,
) -> ScoringPrecision:
    """The precision `name` on the device; of `auto`, float32 where bfloat16 moves any of the parts or their
    mixture by more than `MOST_DRIFT` of its standard deviation over the first `DRIFT_IMAGES` normals, or
    where there are too few to tell.

    An order (the recipe's `precision`, or SECONDREAD_PRECISION) is followed and nothing is measured.
    """
    chosen = choose_precision(name, torch.device(device))
    if chosen == "float32" or asked_precision(name) is not None:
        return ScoringPrecision(chosen)
    if len(normals) < 2:
        return ScoringPrecision(
            "float32",
            ("too few normals to tell how far bf16 moves the score, so scoring runs in float32",),
        )
    found = drifts(detector, normals, device=device, window=window)
    most = max(found, key=lambda part: found[part])
    if found[most] <= MOST_DRIFT:
        return ScoringPrecision(chosen)
    amount = f"{100 * found[most]:.1f} % of" if math.isfinite(found[most]) else "more than"
    moves = f"bf16 would move {_named(most)} by {amount} its standard deviation over normals"
    return ScoringPrecision("float32", (f"{moves}, so scoring runs in float32",))


def drifts(
    detector: Detector,
    images: ImageSource,
    *,
    device: torch.device | str,
    window: WindowSettings | None = None,
    most: int = DRIFT_IMAGES,
) -> dict[str, float]:
    """rms(in bf16 - in float32) / sd(in float32) over the first `most` images, of each part and of `SCORE`,
    the detector's mixture of them. Infinite where a score is not finite, or moves and has no deviation."""
    found: dict[str, list[RawScores]] = {"float32": [], "bf16": []}
    rows = range(min(most, len(images)))
    asked = {name: Scorer(detector, device=device, precision=name, window=window) for name in found}
    for chosen, pixels, valid in read_ahead(images, 16):
        here = [row for row in chosen if row in rows]
        if not here:
            break
        digests = [images.digests[row] for row in here]
        for name, scorer in asked.items():
            part = None if valid is None else valid[: len(here)]
            found[name].append(scorer.batch(pixels[: len(here)], part, digests, maps=False))
    return drifts_between(detector, concatenate(found["bf16"]), concatenate(found["float32"]))


def drifts_between(detector: Detector, half: RawScores, full: RawScores) -> dict[str, float]:
    """The same, of the scores of the same images in two forms."""
    pairs = {name: _as_ranked(name, half, full) for name in full.parts}
    moved = {name: _drift(*pair) for name, pair in pairs.items()}
    return {**moved, SCORE: _drift(*_mixed(detector, pairs))}


def _as_ranked(name: str, half: RawScores, full: RawScores) -> tuple[Floats, Floats]:
    """A part in both precisions; one with two tails as its distance from the median."""
    if full.tails[name] == "upper":
        return half.parts[name], full.parts[name]
    median = np.median(full.parts[name])
    return abs(half.parts[name] - median), abs(full.parts[name] - median)


def _mixed(detector: Detector, pairs: Mapping[str, tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """The mixture in both precisions, its parts by their spread where it puts them on one scale."""
    mixture = detector.mixture()
    half, full = (np.zeros_like(values) for values in next(iter(pairs.values())))
    for name, weight in mixture.weights.items():
        scale = float(pairs[name][1].std()) if mixture.scaled else 1.0
        half += weight * pairs[name][0] / (scale or 1.0)
        full += weight * pairs[name][1] / (scale or 1.0)
    return half, full


def _drift(half: Floats, full: Floats) -> float:
    moved, spread = float(np.sqrt(np.mean((half - full) ** 2))), float(full.std())
    if not math.isfinite(moved):
        return math.inf
    return 0.0 if moved == 0 else moved / spread if spread else math.inf


def _named(part: str) -> str:
    return "the score" if part == SCORE else f"the part {part}"
