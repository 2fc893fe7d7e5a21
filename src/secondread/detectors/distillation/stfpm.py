"""STFPM: a student network follows its teacher's feature pyramid (Wang et al., BMVC 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.encoder_settings import build_encoder
from secondread.detectors.blocks.feature_maps import FeatureMaps, FeatureMapsSettings
from secondread.detectors.blocks.pooled_map import PooledMapSettings
from secondread.detectors.blocks.valid_positions import mean_over
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Step, Tiny
from secondread.detectors.detector_settings import DetectorSettings, OptimiserSettings, StageSettings
from secondread.networks.distillation.cosine import cosine_distance_map, levels_distance
from secondread.networks.distillation.residual_block import start_as_residual_networks_do
from secondread.networks.encoder import EncoderSettings
from secondread.networks.gaussian_blur import gaussian_blur


class STFPMSettings(FeatureMapsSettings, PooledMapSettings, DetectorSettings):
    """The defaults are the paper's."""

    name: Literal["stfpm"] = "stfpm"
    combine: Literal["product", "sum"] = Field(
        "product", description="of the levels' distances at each pixel; a product is 0 where one level agrees"
    )
    keep_features: bool = Field(
        True, description="the teacher's maps are computed once per image and kept on disk while it fits"
    )


class STFPM(Detector):
    """A student with its teacher's architecture learns from nothing to give the teacher's maps.

        t_l, s_l = maps of level l of the frozen encoder (the teacher) and of the student, of unit length
                   over channels at each position
        d_l(p) = |t_l(p) - s_l(p)|² = 2 (1 - cos(t_l(p), s_l(p)))
        loss   = sum over l of the mean of d_l(p) over positions
        map    = product over l of d_l on the image's grid (or sum: `combine`);  score = its maximum

    Unlike in reverse distillation the student sees the image itself, and the teacher's knowledge reaches it
    on normals alone. The loss on held-out normals is the mean of their maps, by which the authors choose the
    epoch. The student starts as residual networks do, and its batch statistics follow the normals. The
    teacher's maps are computed once per image, the student's at every step.

    The part and the map are called `distance`. Padding has no part in the loss, but for the student's own
    convolutions, nor in the score. A student of an encoder that reads a volume slice by slice does so too.

    `[N, C, *S]` in [0, 1]; ValueError for what the encoder does not take.

    Source: G. Wang, S. Han, E. Ding, D. Huang, Student-teacher feature pyramid matching for anomaly
    detection, BMVC 2021. The paper halves d_l.
    """

    Settings = STFPMSettings
    settings: STFPMSettings
    part = "distance"
    gives_map = True
    ranks = frozenset({2, 3})

    def build(self, *, pretrained: bool) -> None:
        settings = self.settings
        self.maps = FeatureMaps(settings, self.channels, self.size, pretrained=pretrained)
        self.student = build_encoder(
            settings.encoder.model_copy(update={"batch_norm": "train"}),
            len(self.size),
            self.channels,
            pretrained=False,
            layers=settings.chosen_layers(),
        )
        start_as_residual_networks_do(self.student)

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "student",
            {"normal": 1.0},
            [Step((self.student,), self.loss, name="student")],
            validate=self.mean_of_the_map,
            frozen=self.maps if self.settings.keep_features else None,
        )

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        teacher = self.maps.of(batch)
        valid = [self.maps.valid(batch.valid, level) for level in range(len(teacher))]
        distance = levels_distance(teacher, self._followed(batch.images), "per_position", valid)
        return {"distance": 2 * distance}

    def mean_of_the_map(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        return {"map": mean_over(self.map_of(batch), batch.valid).mean()}

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        anomaly_map = self.map_of(batch)
        value = self.settings.pooled(anomaly_map, batch.valid)
        return self.one_part(value, anomaly_map if maps else None)

    def map_of(self, batch: Batch) -> Tensor:
        pairs = zip(self.maps.of(batch), self._followed(batch.images), strict=True)
        levels = torch.stack(
            [
                self.maps.place(2 * cosine_distance_map(*pair), level, valid=batch.valid)
                for level, pair in enumerate(pairs)
            ]
        )
        combined = levels.prod(dim=0) if self.settings.combine == "product" else levels.sum(dim=0)
        return gaussian_blur(combined, self.settings.smoothing)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = STFPMSettings(
            encoder=EncoderSettings(weights="random"), layers=("features.4", "features.7")
        )
        stage = StageSettings(steps=4, batch_size=4, optimiser=OptimiserSettings(name="sgd", lr=0.1))
        return Tiny(settings, 1, (4, 32, 32)[-rank:], {"student": stage})

    def _followed(self, images: Tensor) -> Sequence[Tensor]:
        """The student's maps."""
        return [self.maps.averaged(layer_map) for layer_map in self.student(images)]
