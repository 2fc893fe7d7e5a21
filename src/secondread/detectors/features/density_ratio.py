"""Density ratio: how much commoner an image's features are among unlabelled images than among normals."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator
from torch import Tensor

from secondread.detectors.blocks.encoder_settings import build_encoder, refuse_learning
from secondread.detectors.blocks.pooled_features import PooledFeaturesSettings, Pooling, maps_on_last_grid
from secondread.detectors.blocks.representation import FLOOR, standardisation
from secondread.detectors.blocks.valid_positions import valid_on
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Step, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.errors import UserError
from secondread.estimators.linear_ratio import FitRatio, cross_validated, gaussian_ratio, logistic_ratio
from secondread.estimators.mixture_proportion import anomaly_rate
from secondread.flows.elementwise import Affine
from secondread.flows.flow import Flow
from secondread.networks.encoder import EncoderSettings, map_sizes
from secondread.networks.precision import full_precision
from secondread.settings.base import Layers, Settings, Width

FEW = 0.05
"""An estimated anomaly rate below this is worth a warning."""


class RatioFlowSettings(Settings):
    blocks: Layers = 4
    hidden: Width = 32
    clamp: PositiveFloat = 2.0
    noise: NonNegativeFloat = Field(
        0.3, description="Gaussian, added in training to coordinates of unit variance"
    )


class DensityRatioSettings(PooledFeaturesSettings, DetectorSettings):
    name: Literal["density-ratio"] = "density-ratio"
    form: Literal["linear", "gaussian", "flow"] = "linear"
    against: Literal["unlabelled", "abnormal"] = Field(
        "unlabelled", description="the other cohort; abnormal = a few labelled images, supervised"
    )
    layers: tuple[str, ...] | None = Field(
        None, description="whose maps are pooled, on the grid of the last; empty = encoder.layer alone"
    )
    projection: int | None = Field(
        None, ge=2, le=1 << 16, description="directions of largest variance kept; empty = all features"
    )
    penalty: PositiveFloat = Field(3.0, description="linear: weight of |w|²/2 beside the mean loss")
    folds: int = Field(5, ge=2, le=1_000, description="of the cross-validation behind the anomaly rate")
    flow: RatioFlowSettings = RatioFlowSettings()

    @model_validator(mode="after")
    def _consistent(self) -> DensityRatioSettings:
        refuse_learning(self.encoder, "the density ratio needs")
        if self.form == "flow" and self.projection is None:
            raise ValueError("form flow needs a projection, such as 8: few images fix no density in more")
        return self


class DensityRatio(Detector):
    """score = log p_u(x) - log p_n(x), with p_u the density of unlabelled images and p_n of normal ones.

        p_u = (1 - r) p_normal + r p_abnormal,  so  p_u / p_n = 1 - r + r p_abnormal / p_normal

    ranks images as the likelihood ratio of abnormal to normal does, whatever the anomaly rate r > 0; with
    r = 0 it is noise. x are the features of a frozen encoder, pooled over valid positions, standardised on
    all images of both cohorts, and projected on their directions of largest variance where asked for.

    form     linear: logistic regression of normal against unlabelled, both of equal weight, with
             `penalty`. gaussian: linear discriminant with Ledoit-Wolf shrinkage. flow: a normalizing flow
             for each density, both from the same start, trained one after the other; what it gives is
             the ratio of the densities smoothed by `flow.noise`
    against  abnormal: p_u is of labelled abnormal images (r = 1), and this a supervised linear classifier of
             frozen features, the ceiling that semi-supervised methods are held against

    r is estimated from cross-validated scores (of the linear form, or of the gaussian one for the other two)
    and kept as the buffer `anomaly_rate`; see `metrics.mixture_proportion`. Features are kept from
    `collect` to `finish` only.

    Source: M. Sugiyama, T. Suzuki, T. Kanamori, Density ratio estimation in machine learning, Cambridge
    University Press 2012, chapters 3 and 4 (separate densities, and probabilistic classification).
    """

    Settings = DensityRatioSettings
    settings: DensityRatioSettings
    part = "ratio"
    ranks = frozenset({2, 3})

    def build(self, *, pretrained: bool) -> None:
        settings, channels = self.settings, self.channels
        self.cohorts = ("normal", settings.against)
        self.needs = frozenset(self.cohorts)
        self.encoder = build_encoder(
            settings.encoder,
            len(self.size),
            channels,
            pretrained=pretrained,
            layers=settings.chosen_layers(),
        )
        self.grid = map_sizes(self.encoder, channels, self.size)[-1]
        self.pooling = Pooling(settings, self.encoder.channels, self.grid)
        features = self.pooling.dimensions
        k = settings.projection
        if k is not None and k > features:
            raise ValueError(f"density-ratio projection {k}: there are only {features} features")
        self.mean: Tensor
        self.scale: Tensor
        self.matrix: Tensor | None
        self.weight: Tensor
        self.bias: Tensor
        self.anomaly_rate: Tensor
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("matrix", None if k is None else torch.eye(k, features))
        self.register_buffer("weight", torch.zeros(k or features))
        self.register_buffer("bias", torch.zeros(()))
        self.register_buffer("anomaly_rate", torch.full((), torch.nan))
        self.kept: dict[str, list[Tensor]] = {name: [] for name in self.cohorts}
        if settings.form == "flow":
            assert k is not None
            flow = settings.flow
            self.normal_flow = Flow(
                1, k, blocks=flow.blocks, hidden=flow.hidden, elementwise=Affine(flow.clamp)
            )
            self.unlabelled_flow = deepcopy(self.normal_flow)

    def stages(self) -> Iterator[Stage]:
        yield Stage("features", dict.fromkeys(self.cohorts, 0.5), collect=self.collect, finish=self.finish)
        if self.settings.form == "flow":
            for cohort, flow in zip(self.cohorts, (self.normal_flow, self.unlabelled_flow), strict=True):
                loss = partial(self.flow_loss, flow, cohort)
                yield Stage(
                    f"{cohort}_flow",
                    {cohort: 1.0},
                    [Step((flow,), loss)],
                    validate="steps",
                    frozen=self.encode,
                    score=self.strangeness if cohort == "normal" else None,
                    follows=("features",),
                )

    def collect(self, batches: Batches) -> None:
        for name, batch in batches.items():
            self.kept[name].append(self._features(batch).double().cpu())

    def finish(self) -> None:
        """Standardisation, projection, anomaly rate and, but for flows, the ratio. UserError where a cohort
        has fewer than two images."""
        kept = [torch.cat(self.kept[name]) for name in self.cohorts]
        self.kept = {name: [] for name in self.cohorts}
        if min(len(part) for part in kept) < 2:
            raise UserError(f"density-ratio needs at least two normal and two {self.settings.against} images")
        self._fit_coordinates(torch.cat(kept))
        normal, unlabelled = (self._coordinates(part).numpy() for part in kept)
        fit: FitRatio = gaussian_ratio
        if self.settings.form == "linear":
            fit = partial(logistic_ratio, penalty=self.settings.penalty)
        if self.settings.against == "unlabelled":
            unseen = cross_validated(normal, unlabelled, fit, self.settings.folds)
            self.anomaly_rate.fill_(anomaly_rate(*unseen))
        if self.settings.form != "flow":
            ratio = fit(normal, unlabelled)
            self.weight.copy_(torch.from_numpy(ratio.weight))
            self.bias.fill_(ratio.bias)

    def flow_loss(
        self, flow: Flow, cohort: str, batches: Batches, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """-log p of the cohort's coordinates, nats per coordinate."""
        x = self._coordinates(self._features(batches[cohort]))
        if self.training:
            drawn = torch.randn(x.shape, generator=generator, device=generator.device)
            x = x + self.settings.flow.noise * drawn.to(x)
        return {"nats": -flow.log_density(x[..., None]).mean() / x.shape[1]}

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        return self.one_part(self.log_ratio(self._coordinates(self._features(batch))))

    def strangeness(self, batch: Batch, noise: ScoringNoise) -> Tensor:
        """-log p_n(x), `[N]` nats, before there is a p_u."""
        x = self._coordinates(self._features(batch))
        with full_precision(x):
            return -self.normal_flow.log_density(x[..., None])

    def log_ratio(self, x: Tensor) -> Tensor:
        """log p_u(x) - log p_n(x) of coordinates `[N, K]`: `[N]`, nats."""
        if self.settings.form != "flow":
            return (x * self.weight).sum(dim=1) + self.bias
        with full_precision(x):
            x = x[..., None]
            return self.unlabelled_flow.log_density(x) - self.normal_flow.log_density(x)

    def notes(self) -> tuple[str, ...]:
        rate = float(self.anomaly_rate)
        if rate != rate:
            return ()
        if rate >= FEW:
            return (f"an estimated {100 * rate:.1f} % of the unlabelled images are abnormal",)
        return (
            f"an estimated {100 * rate:.1f} % of the unlabelled images are abnormal, too few to learn from: "
            "the score may rank by chance; add unlabelled images among which findings are commoner, or "
            "take a method that needs normals alone",
        )

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = DensityRatioSettings(
            form="flow",
            encoder=EncoderSettings(name="squeezenet1_1", weights="random", layer="features.7"),
            projection=4,
            flow=RatioFlowSettings(blocks=2, hidden=8),
        )
        collecting, training = StageSettings(batch_size=8), StageSettings(steps=3, batch_size=6)
        stages = {"features": collecting, "normal_flow": training, "unlabelled_flow": training}
        return Tiny(settings, 1, (32, 32) if rank == 2 else (8, 32, 32), stages)

    @torch.no_grad()
    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """The maps of all layers on the grid of the last, `[N, C, *grid]`."""
        return (maps_on_last_grid(self.encoder(images), self.grid),)

    @torch.no_grad()
    def _features(self, batch: Batch) -> Tensor:
        """Pooled over valid positions, `[N, features]` float32."""
        h = (batch.features or self.encode(batch.images))[0]
        return self.pooling(h, valid_on(batch.valid, self.grid))

    def _coordinates(self, features: Tensor) -> Tensor:
        """Standardised and, where asked for, projected: `[N, K]`."""
        with full_precision(features):
            x = (features - self.mean.to(features)) / self.scale.to(features)
            return x if self.matrix is None else x @ self.matrix.to(features).T

    def _fit_coordinates(self, features: Tensor) -> None:
        """From the features of both cohorts, `[N, features]` float64 on the CPU."""
        mean, scale = standardisation(features)
        self.mean.copy_(mean)
        self.scale.copy_(scale)
        if self.matrix is None:
            return
        x = (features - mean) / scale
        values, vectors = torch.linalg.eigh(x.T @ x / len(x))
        k = len(self.matrix)
        values, directions = values.flip(0)[:k].clamp_min(0), vectors.flip(1)[:, :k].T
        sign = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True)).sign()
        spread = values.sqrt() + FLOOR * values.mean().sqrt().clamp_min(1e-6)
        self.matrix.copy_(directions * sign / spread[:, None])
