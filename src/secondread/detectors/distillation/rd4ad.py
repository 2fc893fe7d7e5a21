"""RD4AD: reverse distillation from a one-class code (Deng and Li, CVPR 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.feature_maps import FeatureMaps, FeatureMapsSettings
from secondread.detectors.blocks.mirrored_student import MirroredStudent, StudentSettings
from secondread.detectors.blocks.pooled_map import PooledMapSettings
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Step, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.networks.distillation.cosine import CosineForm, cosine_distance_map, levels_distance
from secondread.networks.encoder import EncoderSettings


class RD4ADSettings(FeatureMapsSettings, PooledMapSettings, DetectorSettings):
    """The defaults are the paper's."""

    name: Literal["rd4ad"] = "rd4ad"
    student: StudentSettings = StudentSettings()
    head: bool = Field(
        False,
        description="a 1×1 convolution behind each of the student's maps, for encoders whose maps have "
        "negative values",
    )
    loss: CosineForm = Field(
        "flattened",
        description="flattened: of a level's whole map as one vector, as in the authors' code; per_position: "
        "mean of the distances at each position, as the paper reads",
    )
    smoothing: float = Field(
        4.0, ge=0, le=1_000, description="standard deviation in pixels of the map's blur"
    )
    keep_features: bool = Field(
        True, description="the encoder's maps are computed once per image and kept on disk while it fits"
    )


class RD4AD(Detector):
    """A student rebuilds the maps of a frozen encoder, the teacher, from a small code of them.

        t_l = teacher's map of level l,   s = decoder(bottleneck(t_1 … t_L))
        d_l(p) = 1 - cos(t_l(p), s_l(p))                        at position p, over channels
        loss   = sum over l of 1 - cos(t_l, s_l), all of t_l as one vector; or of the mean of d_l(p)
        map    = sum over l of d_l on the image's grid, blurred;  score = its maximum

    The code is narrow and learned from normals alone, so that what abnormal images have beside does not reach
    the student. The teacher's maps are the student's only input and are computed once per image.
    The part and the map are called `distance`. Padding has no part in the loss, but for the student's own
    convolutions, nor in the score.

    `[N, C, *S]` in [0, 1]; ValueError for what the encoder does not take, or another number of
    `student.blocks` than of levels.

    Source: H. Deng, X. Li, Anomaly detection via reverse distillation from one-class embedding, CVPR 2022,
    and the authors' code.
    """

    Settings = RD4ADSettings
    settings: RD4ADSettings
    part = "distance"
    gives_map = True
    ranks = frozenset({2, 3})

    def build(self, *, pretrained: bool) -> None:
        settings = self.settings
        self.maps = FeatureMaps(settings, self.channels, self.size, pretrained=pretrained)
        self.student = MirroredStudent(settings.student, self.maps, heads=int(settings.head))

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "student",
            {"normal": 1.0},
            [Step((self.student,), self.loss, name="student")],
            validate="steps",
            frozen=self.maps if self.settings.keep_features else None,
        )

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        teacher = self.maps.of(batch)
        valid = [self.maps.valid(batch.valid, level) for level in range(len(teacher))]
        return {"distance": levels_distance(teacher, self._rebuilt(teacher), self.settings.loss, valid)}

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        teacher = self.maps.of(batch)
        distances = map(cosine_distance_map, teacher, self._rebuilt(teacher))
        anomaly_map = self.maps.summed(
            enumerate(distances), smoothing=self.settings.smoothing, valid=batch.valid
        )
        value = self.settings.pooled(anomaly_map, batch.valid)
        return self.one_part(value, anomaly_map if maps else None)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = RD4ADSettings(
            encoder=EncoderSettings(weights="random"),
            layers=("features.4", "features.7"),
            student=StudentSettings(squeeze=16, code_blocks=1, blocks=(1,)),
            smoothing=1.0,
        )
        return Tiny(settings, 1, (4, 32, 32)[-rank:], {"student": StageSettings(steps=4, batch_size=4)})

    def _rebuilt(self, teacher: Sequence[Tensor]) -> Sequence[Tensor]:
        return self.student(teacher)[0]
