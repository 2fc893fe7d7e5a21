"""AE-FLOW with one Gaussian per class behind its flow: FlowGMM's semi-supervised learning inside AE-FLOW."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import softplus

from secondread.detectors.blocks.class_mixture import LINE, ClassMixture, Latents, MixtureSettings
from secondread.detectors.blocks.valid_positions import mean_over, valid_on
from secondread.detectors.contract import (
    Batch,
    Batches,
    Mixture,
    Part,
    Scores,
    ScoringNoise,
    Stage,
    Step,
    Tiny,
)
from secondread.detectors.detector_settings import StageSettings
from secondread.detectors.flows.aeflow import AEFlow, AEFlowSettings
from secondread.networks.cells import place
from secondread.settings.base import Draws


class AEFlowGMMSettings(AEFlowSettings):
    name: Literal["aeflow-gmm"] = "aeflow-gmm"  # type: ignore[assignment]
    mixture: MixtureSettings = MixtureSettings()
    gamma: float = Field(
        1.0, ge=0, le=1, description="weight of the posterior in the score; AE-FLOW's parts share the rest"
    )
    posterior_map: bool = Field(True, description="the map is each place's share of the log odds")
    decoded: bool = Field(False, description="report the distance to the image decoded as if it were normal")
    draws: Draws = Field(64, description="decoded: samples of the normal component")
    nearest: Draws = Field(4, description="decoded: how many of them, the nearest, are decoded")

    @model_validator(mode="after")
    def _enough_draws(self) -> AEFlowGMMSettings:
        if self.nearest > self.draws:
            raise ValueError(f"nearest {self.nearest} of {self.draws} draws")
        return self


class AEFlowGMM(AEFlow):
    """AE-FLOW whose latent map z' has, in the mean of its channels over positions, one component per class.

        score = -log p(normal | x) = softplus(log odds)                            (gamma = 1)
        score = gamma · odds + (1 - gamma) · (beta · likelihood + (1 - beta) · reconstruction)

    the second with every part standardised on validation normals, `odds` being the log odds. What p is,
    its start and its loss: `detectors.class_mixture`. Beside that loss stands AE-FLOW's mean squared error
    of normals, (1 - alpha), and alpha weighs the former.

    It learns from normals and, as `mixture.learns_from` says, from unlabelled images, labelled abnormal ones,
    or both. Where the recipe augments, every batch holds each image in two changed forms, which the
    consistency term joins. `flow_loss` is the unit of the loss's likelihoods (those of cohorts, rate and
    consistency); `detectors.class_mixture` has them per dimension.

    Parts: `posterior` (-log p(normal | x), nats), `odds` (log odds, nats: the same order, without
    rounding), `likelihood` (-log p(x | normal) / D), `reconstruction` (-SSIM), on demand `decoded` and
    AE-FLOW's. `decoded` is the mean |x - x''| / 2 over the `nearest` of x'', the images that the
    decoder makes of z' with its pooled part s replaced by a sample of the normal component: of `draws` of
    them those nearest to s are taken. It is how far the image is from what it would be if it were normal.

    Maps: each place's share of the log odds (`posterior_map`), or AE-FLOW's.

    Sources: Y. Zhao, Q. Ding, X. Zhang, AE-FLOW, ICLR 2023; P. Izmailov et al., Semi-supervised learning
    with normalizing flows, ICML 2020. Nobody has published their union; the idea and the part `decoded` are
    those of an announced student project.
    """

    Settings = AEFlowGMMSettings
    settings: AEFlowGMMSettings
    added_later = frozenset({LINE})

    def build(self, *, pretrained: bool) -> None:
        super().build(pretrained=pretrained)
        settings = self.settings
        self.needs = frozenset(settings.mixture.shares)
        self.classes = ClassMixture(self.normalisation.channels, settings.mixture)

    def stages(self) -> Iterator[Stage]:
        *before, flow = super().stages()
        yield from before
        on = self.settings.mixture.shares
        yield Stage(
            "start",
            on,
            frozen=self.frozen,
            prepare=flow.prepare,
            collect=self.collect,
            finish=self.classes.begin,
        )
        yield Stage(
            "flow",
            on,
            [
                Step(
                    (self.flow, self.decoder, self.classes),
                    self.loss,
                    name="flow",
                    paces=[(self.classes, self.settings.mixture.pace)],
                )
            ],
            frozen=self.frozen,
            each_epoch=self.classes.each_epoch,
            start=flow.start,
            validate=self.normal_loss,
            views=2 if self.settings.mixture.consistency else 1,
        )
        yield from self.classes.calibration(
            lambda batch: self.classes.own_odds(self.pooled(batch)), self.frozen
        )

    def collect(self, batches: Batches) -> None:
        for name, batch in batches.items():
            self.classes.keep(name, self.pooled(batch))

    def pooled(self, batch: Batch) -> Tensor:
        """s of a batch's images, `[N, k]`."""
        return self.classes.pool.pooled(self._flow(batch)[0], valid_on(batch.valid, self.map_size))

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        found, terms = self._latents(batches, generator if self.training else None)
        alpha = self.settings.alpha
        return {name: alpha * value for name, value in self.classes.terms(found).items()} | terms

    def normal_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss of normals alone, which held-out normals have too."""
        return self.loss({"normal": batches["normal"]}, generator)

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        z, log_determinant, negative_log_density = self._flow(batch)
        positions = valid_on(batch.valid, self.map_size)
        s = self.classes.pool.pooled(z, positions)
        tilt = self.classes.mixture.class_log_ratio(s)[:, 0] / self._positions(z, positions)
        normal = negative_log_density - tilt.view(-1, *(1 for _ in z.shape[1:]))
        maps_here = maps and not self.settings.posterior_map
        found = self.scores_of(batch, z, log_determinant, normal / z.shape[1], maps=maps_here)
        odds = self.classes.log_odds(s)
        parts = {"posterior": Part(softplus(odds)), "odds": Part(odds), **found.parts}
        if self.settings.decoded:
            parts["decoded"] = Part(self._distance_to_normal(batch, z, s, positions, noise))
        if not maps or not self.settings.posterior_map:
            return Scores(parts, found.maps)
        posterior = place(self.classes.log_odds_map(z, positions), self.cells[-1], self.size)
        return Scores(parts, {"posterior": posterior})

    def mixture(self) -> Mixture:
        gamma = self.settings.gamma
        if gamma == 1:
            return Mixture({"posterior": 1.0}, scaled=False)
        rest = {name: (1 - gamma) * weight for name, weight in super().mixture().weights.items()}
        return Mixture({"odds": gamma, **rest}, scaled=True)

    def map_mixture(self) -> Mixture:
        if self.settings.posterior_map:
            return Mixture({"posterior": 1.0}, scaled=False)
        return super().map_mixture()

    def notes(self) -> tuple[str, ...]:
        return self.classes.notes()

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        below = AEFlow.tiny(rank)
        assert isinstance(below.settings, AEFlowSettings)
        given = below.settings.model_dump() | {"name": "aeflow-gmm"}
        mixture = MixtureSettings(learns_from=("unlabelled", "abnormal"), positive_unlabelled=0.1)
        settings = AEFlowGMMSettings.model_validate(
            given | {"mixture": mixture, "gamma": 0.5 if rank == 3 else 1.0, "decoded": True, "draws": 8}
        )
        training = below.stages["flow"].model_copy(update={"augment": ("shift",), "batch_size": 6})
        stages = {**below.stages, "start": StageSettings(batch_size=6), "flow": training}
        return Tiny(settings, below.channels, below.size, stages)

    def _latents(
        self, batches: Batches, generator: torch.Generator | None
    ) -> tuple[dict[str, Latents], dict[str, Tensor]]:
        """Of every cohort of a batch in one pass through the flow; and the reconstruction term."""
        views = dict(batches)
        if "unlabelled" in batches and batches["unlabelled"].others:
            (second_view,) = batches["unlabelled"].others
            views = {"other": second_view, **views}
        h = torch.cat([self._features(batch) for batch in views.values()])
        z, _, negative_log_density = self._flow_of(h, generator)
        sizes = [len(batch) for batch in views.values()]
        maps = dict(
            zip(views, zip(z.split(sizes), negative_log_density.split(sizes), strict=True), strict=True)
        )
        pooled: dict[str, Tensor] = {}
        found = {}
        for name in views:
            of_z, nats = maps[name]
            positions = valid_on(views[name].valid, self.map_size)
            pooled[name] = self.classes.pool.pooled(of_z, positions)
            if name == "other":
                continue
            count = self._positions(of_z, positions)
            base = -mean_over(nats, positions) * count
            other = pooled.get("other") if name == "unlabelled" else None
            found[name] = Latents(base, pooled[name], self._divisor(count * of_z.shape[1]), other)
        error = self._squared_error(self.decoder(maps["normal"][0]), batches["normal"])
        return found, {"reconstruction": (1 - self.settings.alpha) * error}

    def _divisor(self, dimensions: Tensor) -> Tensor:
        """By what the loss divides an image's nats, `[N]`, from how many dimensions count."""
        match self.settings.flow_loss:
            case "nats":
                return torch.ones_like(dimensions)
            case "per_dimension":
                return dimensions
            case "bits_per_dimension":
                return dimensions * math.log(2)

    @torch.no_grad()
    def _distance_to_normal(
        self, batch: Batch, z: Tensor, s: Tensor, positions: Tensor | None, noise: ScoringNoise
    ) -> Tensor:
        mixture = self.classes.mixture
        deviation = mixture.deviation[0]
        drawn = mixture.means[0] + deviation * noise.normal((self.settings.draws, mixture.dimensions))
        away = ((drawn - s[:, None]) / deviation).square().sum(dim=2)
        order = away.argsort(dim=1)[:, : self.settings.nearest]
        target = self._target(batch)
        total = s.new_zeros(len(s))
        for rank in range(self.settings.nearest):
            chosen = drawn[torch.arange(len(s), device=s.device), order[:, rank]]
            decoded = self.decoder(self.classes.pool.replaced(z, chosen, positions))
            residual = (decoded - target).abs().mean(dim=1, keepdim=True) / 2
            total = total + mean_over(residual, batch.valid)
        return total / self.settings.nearest
