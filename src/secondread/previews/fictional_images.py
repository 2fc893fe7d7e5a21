"""Fictional images as they were drawn: their files, and how near each is to a training image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from secondread import tables
from secondread.bundles.bundle import Bundle
from secondread.previews.planes import Planes, planes
from secondread.previews.training_images import TrainingImages
from secondread.wording.short import Short

SHOWN = 24
"""Pictures kept of each temperature."""
CLOSEST = 12
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
COLUMNS = (
    "file", "temperature", "distance", "nearest", "nearest_digest", "quantile",
    "training_q05", "training_q50", "training_q95", "error",
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """One fictional image.

    file      relative to the output folder; empty where its values are not finite
    number    from 0, within its temperature; equal numbers have equal draws of the latent noise
    distance  to the training image `nearest`, see `TrainingImages`
    quantile  share of training images whose own nearest neighbour is at most as far; None where there is
              one training image
    """

    file: str
    temperature: float
    number: int
    distance: float | None = None
    nearest: int | None = None
    quantile: float | None = None
    error: str = ""


@dataclass(frozen=True)
class Interpolation:
    """Reconstructions along the line between two latents. `pictures` begins and ends with the images."""

    names: tuple[str, str]
    pictures: tuple[Planes, ...]


@dataclass(frozen=True, repr=False)
class Sampling(Short):
    """What a run drew.

    pictures   by file: of the first images of each temperature, and of those nearest to a training image
    quantiles  of the training images' distances to each other, by share; empty where there is one image
    scale      preprocessed values shown as black and as white
    """

    bundle: Bundle
    seed: int
    samples: tuple[Sample, ...]
    training: TrainingImages
    quantiles: Mapping[float, float]
    pictures: Mapping[str, Planes]
    scale: tuple[float, float]
    interpolation: Interpolation | None = None

    @property
    def temperatures(self) -> tuple[float, ...]:
        return tuple(dict.fromkeys(sample.temperature for sample in self.samples))

    def at(self, temperature: float) -> tuple[Sample, ...]:
        return tuple(sample for sample in self.samples if sample.temperature == temperature)

    @property
    def closest(self) -> tuple[Sample, ...]:
        """The samples nearest to a training image, nearest first."""
        return tuple(closest(self.samples))

    @property
    def failed(self) -> int:
        return sum(bool(sample.error) for sample in self.samples)

    def neighbour(self, sample: Sample) -> Planes:
        """The nearest training image, in full where it is at hand."""
        return () if sample.nearest is None else planes(self.training.values(sample.nearest), self.scale)


def closest(samples: Sequence[Sample]) -> list[Sample]:
    """The twelve nearest to a training image, nearest first."""
    measured = [sample for sample in samples if sample.distance is not None]
    return sorted(measured, key=lambda sample: sample.distance or 0.0)[:CLOSEST]


def table(sampling: Sampling) -> str:
    """`samples.csv`."""
    lines = [tables.line(COLUMNS)]
    among = [_figure(sampling.quantiles.get(q)) for q in (0.05, 0.5, 0.95)]
    training = sampling.training
    for one in sampling.samples:
        name, digest = (
            ("", "") if one.nearest is None else (training.names[one.nearest], training.digest(one.nearest))
        )
        lines.append(tables.line(
            [
                one.file, f"{one.temperature:g}", _figure(one.distance), name, digest,
                _figure(one.quantile), *among, one.error,
            ]
        ))  # fmt: skip
    return "".join(lines)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def summary(sampling: Sampling) -> list[dict[str, Any]]:
    """What was drawn at each temperature: how many, and how near to training images."""
    lines = []
    for temperature in sampling.temperatures:
        drawn = sampling.at(temperature)
        distances = [one.distance for one in drawn if one.distance is not None]
        shares = [one.quantile for one in drawn if one.quantile is not None]
        lines.append(
            {
                "temperature": temperature,
                "images": len(drawn),
                "not_finite": len(drawn) - len(distances),
                "median_distance": float(np.median(distances)) if distances else None,
                "closer_than_5_percent_of_training": sum(share < 0.05 for share in shares),
            }
        )
    return lines
