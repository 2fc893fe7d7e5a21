"""The log posterior of two flows on frozen feature maps: Shibata's ratio, where the features are."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from secondread.detectors.blocks.feature_flow import FlowSettings, NormalisationSettings
from secondread.detectors.blocks.feature_maps import FeatureMaps, FeatureMapsSettings
from secondread.detectors.blocks.pooled_map import PooledMapSettings
from secondread.detectors.blocks.valid_positions import mean_over
from secondread.detectors.contract import (
    Batch,
    Batches,
    Detector,
    Mixture,
    Part,
    Scores,
    ScoringNoise,
    Stage,
    Step,
    Tiny,
)
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.flows.flow import Flow
from secondread.networks.encoder import EncoderSettings


class FeaturePosteriorSettings(FeatureMapsSettings, PooledMapSettings, DetectorSettings):
    name: Literal["feature-posterior"] = "feature-posterior"
    grid: int = Field(0, ge=0, le=16, description="index of the level on whose grid all levels are joined")
    features: NormalisationSettings = NormalisationSettings(
        compress=True, standardise="position", projection=64, noise=0.1
    )
    flow: FlowSettings = Field(
        FlowSettings(blocks=4, hidden=64), description="the architecture, the same for both"
    )
    start: Literal["same", "trained"] = Field(
        "same",
        description="the second flow's first parameters: those with which the first began, or its trained",
    )
    image_score: Literal["max", "mean", "top"] = Field(
        "mean", description="of each part, over valid positions; top: the mean of the highest share"
    )

    @model_validator(mode="after")
    def _of_the_order_of_one(self) -> FeaturePosteriorSettings:
        if self.features.standardise == "none":
            raise ValueError("features.standardise should not be none: both flows start near the identity")
        return self


class FeaturePosterior(Detector):
    """score = -(log p_0(h) - log p_1(h)) / K, with flows p_0 of normal images' features, p_1 of a mixture's.

        log p(normal | h) = log p(h | normal) - log p(h) + log p(normal)

    p_1 is fitted on the unlabelled images, normal and abnormal ones, and stands for p(h), so that the score
    is the log posterior less a constant, per channel, where h is normal more rarely than it is at all
    (Shibata et al., who have two Glows of the image itself). What both densities share cancels: textures that
    are one data set's own, and whatever of an image is rare in both alike.

    h are the maps of several levels of a frozen encoder on the grid of one of them, compressed, standardised
    and projected to K channels by what normals show (`estimators.feature_normalisation`). Both flows have
    one architecture, and both should be trained alike: for as many steps. By `start`, p_1 begins where p_0
    began, or where it ended. The second leaves p_1 with twice the training in all, so that it is the better
    model of normal images too, and the ratio then shows what p_0 had yet to learn beside what differs.

    Parts: `posterior`, and reported beside it `likelihood`, -log p_0 / K, and `mixture_likelihood`,
    -log p_1 / K; each is pooled over valid positions. Map: `posterior`, the same by position, on the image's
    grid. Padding is neither in the losses nor in the score.

    Source: H. Shibata et al., Versatile anomaly detection method for medical images with semi-supervised
    flow-based generative models, IJCARS 16, 2021 (arXiv 2001.07847), for the ratio; features and flows of
    them are AE-FLOW's (`detectors.flows.aeflow`). Nobody has published the union.
    """

    Settings = FeaturePosteriorSettings
    settings: FeaturePosteriorSettings
    needs = frozenset({"normal", "unlabelled"})
    ranks = frozenset({2, 3})

    def build(self, *, pretrained: bool) -> None:
        settings = self.settings
        self.maps = FeatureMaps(settings, self.channels, self.size, pretrained=pretrained)
        if settings.grid >= len(self.maps.grids):
            raise ValueError(
                f"feature-posterior grid {settings.grid}: there are {len(self.maps.grids)} levels, from 0"
            )
        grid = self.maps.grids[settings.grid]
        self.normalisation = settings.features.build(sum(self.maps.channels), grid)
        self.normal = settings.flow.build(len(self.size), self.normalisation.channels, grid)
        self.mixed = deepcopy(self.normal)

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "normal",
            {"normal": 1.0},
            [Step((self.normal,), partial(self.loss, self.normal, "normal"), name="normal")],
            validate="steps",
            frozen=self.maps,
            prepare=self.fit_normalisation,
            score=self.strangeness,
        )
        yield Stage(
            "mixture",
            {"unlabelled": 1.0},
            [Step((self.mixed,), partial(self.loss, self.mixed, "unlabelled"), name="mixture")],
            validate="steps",
            frozen=self.maps,
            prepare=self.begin_mixture,
        )

    def fit_normalisation(self, batches: Iterator[Batches], generator: torch.Generator) -> None:
        found = (cohorts["normal"] for cohorts in batches)
        self.normalisation.fit(((self._joined(batch), self._valid(batch)) for batch in found), generator)

    def begin_mixture(self, batches: Iterator[Batches], generator: torch.Generator) -> None:
        """Give p_1 what p_0 has learned, where it starts so."""
        if self.settings.start == "trained":
            self.mixed.load_state_dict(self.normal.state_dict())

    def loss(
        self, flow: Flow, cohort: str, batches: Batches, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """-log p / K of the cohort's images, nats."""
        batch = batches[cohort]
        h = self.normalisation(self._joined(batch))
        h = self.settings.features.noisy(h, generator if self.training else None)
        return {"nats": mean_over(-flow.log_density_map(h), self._valid(batch)).mean() / h.shape[1]}

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        h, valid = self.normalisation(self._joined(batch)), self._valid(batch)
        first, second = (-flow.log_density_map(h) / h.shape[1] for flow in (self.normal, self.mixed))
        found = {"posterior": first - second, "likelihood": first, "mixture_likelihood": second}
        parts = {name: Part(self.settings.pooled(values, valid)) for name, values in found.items()}
        if not maps:
            return Scores(parts)
        placed = self.maps.place(
            found["posterior"], self.settings.grid, smoothing=self.settings.smoothing, valid=batch.valid
        )
        return Scores(parts, {"posterior": placed})

    def strangeness(self, batch: Batch, noise: ScoringNoise) -> Tensor:
        """The part `likelihood`, `[N]`, while p_0 is all that is trained."""
        h = self.normalisation(self._joined(batch))
        return self.settings.pooled(-self.normal.log_density_map(h) / h.shape[1], self._valid(batch))

    def mixture(self) -> Mixture:
        return Mixture({"posterior": 1.0}, scaled=False)

    def map_mixture(self) -> Mixture:
        return Mixture({"posterior": 1.0}, scaled=False)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = FeaturePosteriorSettings(
            encoder=EncoderSettings(name="squeezenet1_1", weights="random"),
            strides=(4, 8),
            features=NormalisationSettings(standardise="channel", projection=8, noise=0.1),
            flow=FlowSettings(blocks=2, hidden=8),
            image_score="top",
        )
        training = StageSettings(steps=3, batch_size=6)
        size = (32, 32) if rank == 2 else (8, 32, 32)
        return Tiny(settings, 1, size, {"normal": training, "mixture": training})

    def _joined(self, batch: Batch) -> Tensor:
        """All levels on one grid, `[N, sum of channels, *grid]`."""
        return self.maps.on_grid(self.maps.of(batch), self.settings.grid)

    def _valid(self, batch: Batch) -> Tensor | None:
        return self.maps.valid(batch.valid, self.settings.grid)
