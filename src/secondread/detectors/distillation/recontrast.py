"""ReContrast: reverse distillation with an encoder that learns (Guo et al., NeurIPS 2023)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from secondread.detectors.blocks.feature_maps import FeatureMaps, FeatureMapsSettings
from secondread.detectors.blocks.hard_mining import HardMining, HardMiningSettings
from secondread.detectors.blocks.mirrored_student import MirroredStudent, StudentSettings
from secondread.detectors.blocks.pooled_map import PooledMapSettings
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Step, Tiny
from secondread.detectors.detector_settings import DetectorSettings, OptimiserSettings, StageSettings
from secondread.networks.distillation.cosine import CosineForm, cosine_distance_map, levels_distance, spread
from secondread.networks.encoder import EncoderSettings

COLLAPSED = 0.1
"""Of the frozen encoder's spread: a level of the trained one with less looks one way nearly everywhere."""

Maps = Sequence[Tensor]


class ReContrastSettings(FeatureMapsSettings, PooledMapSettings, DetectorSettings):
    """The defaults are the paper's, for 1,000 steps."""

    name: Literal["recontrast"] = "recontrast"
    student: StudentSettings = StudentSettings()
    loss: CosineForm = "flattened"
    mining: HardMiningSettings = HardMiningSettings()
    encoder_pace: PositiveFloat = Field(
        0.005, description="learning rate of the trained encoder / that of the student"
    )
    smoothing: float = Field(
        4.0, ge=0, le=1_000, description="standard deviation in pixels of the map's blur"
    )
    keep_features: bool = Field(
        True, description="the frozen encoder's maps are computed once per image and kept on disk"
    )


class ReContrast(Detector):
    """A trained encoder E and its frozen copy F; the maps of both pass one bottleneck and one decoder.

        e_l, f_l = levels of E(x) and F(x)
        s_l, r_l = head 1 of what is decoded from e, head 2 of what is decoded from f
        loss  = 1/2 sum over l of [1 - cos(f_l, s_l)] + 1/2 sum over l of [1 - cos(e_l, r_l)]
        map   = sum over l of the distances 1 - cos at each position, of both pairs;  score = its maximum

    Targets take no gradient, so E learns as the input of head 1 alone and is kept from constants; the spread
    of its levels (`networks.distillation.cosine.spread`) stands in the log, and one that is nearly gone is
    warned of. Hard mining: positions whose distance lies below the batch's mean + alpha · standard deviation
    of that level give the student no gradient; alpha grows as training goes on. Both encoders are in eval
    mode, and `encoder.batch_norm: train` lets E alone follow its batches, as the authors do for some sets.

    E starts as a copy of F and is a part of the fitted state. F's maps are computed once per image, E's at
    every step. The part and the map are called `distance`. Padding has no part in loss and score.

    `[N, C, *S]` in [0, 1]; ValueError for what the encoder does not take, or another number of
    `student.blocks` than of levels.

    Source: J. Guo, S. Lu, L. Jia, W. Zhang, H. Li, ReContrast: domain-specific anomaly detection via
    contrastive reconstruction, NeurIPS 2023, and the authors' code.
    """

    Settings = ReContrastSettings
    settings: ReContrastSettings
    part = "distance"
    gives_map = True
    ranks = frozenset({2, 3})

    def build(self, *, pretrained: bool) -> None:
        settings = self.settings
        self.maps = FeatureMaps(settings, self.channels, self.size, pretrained=pretrained)
        self.trained = copy.deepcopy(self.maps.encoder)
        self.student = MirroredStudent(settings.student, self.maps, heads=2)
        self.mining = HardMining(settings.mining)
        self.spreads: Tensor
        self.register_buffer("spreads", torch.ones(2, len(self.maps.channels)))

    def stages(self) -> Iterator[Stage]:
        both = Step(
            (self.student, self.trained),
            self.loss,
            name="student",
            paces=((self.trained, self.settings.encoder_pace),),
            after=self.mining.step,
        )
        yield Stage(
            "student",
            {"normal": 1.0},
            [both],
            validate="steps",
            frozen=self.maps if self.settings.keep_features else None,
            keeps=("mining", "spreads"),
            start=lambda batches: self.figures(batches["normal"], "at the start"),
            each_epoch=self.note_spreads,
        )

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        own, frozen = self._encoded(batch)
        of_own, of_frozen = self._decoded(own, frozen)
        valid = [self.maps.valid(batch.valid, level) for level in range(len(own))]
        form = self.settings.loss
        return {
            "frozen": levels_distance(frozen, self._mined(frozen, of_own, valid), form, valid) / 2,
            "trained": levels_distance(own, self._mined(own, of_frozen, valid), form, valid) / 2,
        }

    def note_spreads(self, epoch: int, batches: Iterator[Batches]) -> None:
        """Of the first batch, kept for the warning."""
        batch = next(iter(batches))["normal"]
        pairs = [[spread(x) for x in maps] for maps in self._encoded(batch)]
        self.spreads.copy_(torch.tensor(pairs))

    def figures(self, batch: Batch, when: str) -> dict[str, float]:
        own, _ = self._encoded(batch)
        return {f"spread of level {level} {when}": float(spread(x)) for level, x in enumerate(own, start=1)}

    def warnings(self) -> tuple[str, ...]:
        own, frozen = self.spreads.tolist()
        return tuple(
            f"level {level} of the trained encoder has nearly collapsed: its spread is {here:.3g}, that of "
            f"the frozen one {there:.3g}; lower detector.encoder_pace or train for fewer steps"
            for level, (here, there) in enumerate(zip(own, frozen, strict=True), start=1)
            if here < COLLAPSED * there
        )

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        own, frozen = self._encoded(batch)
        of_own, of_frozen = self._decoded(own, frozen)
        pairs = chain(zip(frozen, of_own, strict=True), zip(own, of_frozen, strict=True))
        distances = [cosine_distance_map(target, student) for target, student in pairs]
        levels = [*range(len(own)), *range(len(own))]
        anomaly_map = self.maps.summed(
            zip(levels, distances, strict=True), smoothing=self.settings.smoothing, valid=batch.valid
        )
        value = self.settings.pooled(anomaly_map, batch.valid)
        return self.one_part(value, anomaly_map if maps else None)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = ReContrastSettings(
            encoder=EncoderSettings(weights="random"),
            layers=("features.4", "features.7"),
            student=StudentSettings(squeeze=16, code_blocks=1, blocks=(1,)),
            mining=HardMiningSettings(steps=2),
            smoothing=1.0,
        )
        stage = StageSettings(steps=2, batch_size=4, optimiser=OptimiserSettings(name="adamw", lr=2e-3))
        return Tiny(settings, 1, (4, 32, 32)[-rank:], {"student": stage})

    def _encoded(self, batch: Batch) -> tuple[Maps, Maps]:
        """E's levels and F's."""
        own = [self.maps.averaged(x) for x in self.trained(batch.images)]
        return own, self.maps.of(batch)

    def _decoded(self, own: Maps, frozen: Maps) -> tuple[Maps, Maps]:
        """Head 1 of what comes from E, which should be F's levels, and head 2 of what comes from F. Both pass
        as one batch, so that batch statistics are of both."""
        joined = [torch.cat((a, b.to(a.dtype))) for a, b in zip(own, frozen, strict=True)]
        first, second = self.student(joined)
        count = len(own[0])
        return [x[:count] for x in first], [x[count:] for x in second]

    def _mined(self, targets: Maps, students: Maps, valid: Sequence[Tensor | None]) -> Maps:
        if not self.training:
            return students
        return [self.mining(*three) for three in zip(targets, students, valid, strict=True)]
