"""What detectors have in common that learn to see anomalies which are drawn into normal images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from secondread.anomalies.anomaly import Anomalies, AnomalySettings
from secondread.anomalies.build import AnyAnomalySettings, make_anomalies
from secondread.detectors.blocks.drawn_anomalies import (
    NOT_MEASURED,
    SHOWN,
    DrawInNormals,
    drawn_in,
    mean_and_bound,
    pixel_areas,
)
from secondread.detectors.blocks.pooled_map import PooledMapSettings
from secondread.detectors.blocks.valid_positions import foreground_of, mean_over, or_everywhere
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Step
from secondread.detectors.detector_settings import DetectorSettings
from secondread.networks.gaussian_blur import gaussian_blur
from secondread.networks.precision import full_precision


class SegmentationSettings(PooledMapSettings, DetectorSettings):
    """A method adds its name, its network and the `anomalies` that it learns from."""

    anomalies: AnyAnomalySettings
    foreground: float | None = Field(
        None,
        description="anomalies are drawn, and the image scored, only where the sum over channels is above "
        "it; empty = all that is valid",
    )
    prior: float | None = Field(
        0.02,
        gt=0,
        lt=1,
        description="the probability of an anomaly that the untrained network gives everywhere, by the bias "
        "of its `last` convolution; empty = as the network starts, about a half",
    )


def filled(own: AnomalySettings) -> Callable[[Any], Any]:
    """A method with a kind of its own: what a person leaves out of `anomalies` is the method's, not the
    kind's."""

    def validated(given: Any) -> Any:
        return {**own.model_dump(), **given} if isinstance(given, Mapping) else given

    return validated


class AnomalySegmentation(Detector):
    """map = sigmoid(network(x)), of a network that has learned to give the target t of drawn anomalies.

        loss = mean over valid places of BCE(network(x'), t),   (x', t) = anomalies(x)

    x are normals `[N, C, *size]` as prepared, x' the same of which some have a synthetic anomaly of the kind
    `anomalies`, drawn anew each time (`Stage.draw`) within the foreground: what is valid and, with
    `foreground`, brighter than that. The map is blurred by `smoothing`; the image score is the map's mean (or
    maximum, or the mean of its top share) over the foreground. A held-out batch of one image, where the kind
    takes from others, stays as it is.

    After the last step anomalies are drawn in held-out normals, each image changed: the mean over images of
    the AUROC of the map over pixels, and its lower 95 % bound, are the buffer `drawn_auroc` and stand in the
    log. A bound below 0.6 is a warning, since a network that has not learned its own task ranks by chance.

    A subclass has `build_network`, images to logits `[N, 1, *size]`; or another number of them, of which its
    `segmentation_loss`, `map_of` and `start_at` know what they mean. With a `prior` p the convolution `last`
    starts with the bias log(p / (1 - p)): few places are abnormal, and a network that starts at a half takes
    hundreds of steps to say so before it learns where they are (T.-Y. Lin et al., Focal loss for dense object
    detection, ICCV 2017).
    """

    Settings: ClassVar[type[DetectorSettings]]
    settings: Any
    ranks = frozenset({2, 3})
    part = "anomaly"
    gives_map = True
    on: ClassVar[Mapping[str, float]] = {"normal": 1.0}
    """The cohorts of its stage, and their shares of a batch."""

    def build(self, *, pretrained: bool) -> None:
        self.draw = DrawInNormals(make_anomalies(self.settings.anomalies), self.settings.foreground)
        self.network = self.build_network(pretrained=pretrained)
        if self.settings.prior is not None:
            self.start_at(math.log(self.settings.prior / (1 - self.settings.prior)))
        self.drawn_auroc: Tensor
        self.register_buffer("drawn_auroc", torch.full((2,), NOT_MEASURED))

    def build_network(self, *, pretrained: bool) -> nn.Module:
        raise NotImplementedError

    def start_at(self, logit: float) -> None:
        """The untrained network gives about this logit everywhere."""
        nn.init.constant_(self.network.get_parameter("last.bias"), logit)

    def logits(self, images: Tensor) -> Tensor:
        """`[N, 1, *size]` of a network with one output, float32."""
        found: Tensor = self.network(images)
        return found.float()

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "segmentation",
            self.on,
            [Step((self.network,), self.loss, name="segmentation")],
            validate="steps",
            draw=self.draw,
            examine=self.examine,
        )

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        made = self.drawn(batch, generator)
        return {"segmentation": self.segmentation_loss(self.logits(made.images), made, batch.valid)}

    def segmentation_loss(self, logits: Tensor, made: Anomalies, valid: Tensor | None) -> Tensor:
        error = functional.binary_cross_entropy_with_logits(logits, made.target, reduction="none")
        return mean_over(error, valid).mean()

    def map_of(self, logits: Tensor) -> Tensor:
        """The map `[N, 1, *size]`."""
        return logits.sigmoid()

    def drawn(self, batch: Batch, generator: torch.Generator, donors: Batch | None = None) -> Anomalies:
        """The images of a batch with anomalies, which may take something from the `donors`."""
        batches = {"normal": batch}
        if self.draw.donors is not None and donors is not None:
            batches[self.draw.donors] = donors
        return drawn_in(self.draw, batches, generator, training=self.training)

    def foreground(self, batch: Batch) -> Tensor | None:
        """bool `[N, 1, *size]`, or None where all is."""
        return foreground_of(batch.images, batch.valid, self.settings.foreground)

    def anomaly_map(self, images: Tensor) -> Tensor:
        """The map `[N, 1, *size]` of images as prepared."""
        x = images.float()
        with full_precision(x):
            found = self.map_of(self.logits(x))
        return gaussian_blur(found, self.settings.smoothing)

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        found = self.anomaly_map(batch.images)
        foreground = self.foreground(batch)
        if foreground is not None and self.settings.foreground is not None:
            found = found * foreground
            foreground = or_everywhere(foreground)
        value = self.settings.pooled(self.averaged(found), foreground)
        return self.one_part(value, found if maps else None)

    def averaged(self, anomaly_map: Tensor) -> Tensor:
        """What the image score is taken from: the map itself."""
        return anomaly_map

    def examine(self, held_out: Iterator[Batch], generator: torch.Generator) -> dict[str, float]:
        every = make_anomalies(self.settings.anomalies.model_copy(update={"share": 1.0}))
        inside = (replace(batch, valid=self.foreground(batch)) for batch in held_out)
        areas = pixel_areas(inside, every, lambda x: {self.part: self.anomaly_map(x)}, generator)
        values = areas.get(self.part, [])
        mean, bound = mean_and_bound(values)
        self.drawn_auroc.copy_(torch.tensor((mean, bound)))
        return {"AUROC of drawn anomalies": mean if values else math.nan, "lower bound": bound}

    def warnings(self) -> tuple[str, ...]:
        mean, bound = self.drawn_auroc.tolist()
        if mean == NOT_MEASURED or bound >= SHOWN:
            return ()
        return (
            f"the network hardly finds what is drawn in held-out normals (pixel AUROC {mean:.2f} with a "
            f"lower 95 % bound of {bound:.2f}; a bound of {SHOWN} is asked for), so its score may rank by "
            "chance: train longer, or draw anomalies that show",
        )
