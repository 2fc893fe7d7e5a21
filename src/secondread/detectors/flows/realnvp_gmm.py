"""FlowGMM on vectors: a RealNVP of dense networks with a Gaussian per class (Izmailov et al., 2020)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import softplus

from secondread.detectors.blocks.class_mixture import LINE, ClassMixture, Latents, MixtureSettings
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
from secondread.networks.precision import full_precision
from secondread.settings.base import Layers, Width

FLOOR = 0.05
"""Added to every standard deviation, as a share of their root mean square."""


class RealNVPGMMSettings(DetectorSettings):
    name: Literal["realnvp-gmm"] = "realnvp-gmm"
    blocks: Layers = Field(8, description="couplings")
    hidden: Width = Field(64, description="width of the two hidden layers of each coupling's network")
    noise: float = Field(
        0.05, ge=0, le=10, description="standard deviation added in training to the standardised values"
    )
    mixture: MixtureSettings = MixtureSettings(consistency=0.0)

    @model_validator(mode="after")
    def _vectors_have_no_channels(self) -> RealNVPGMMSettings:
        if self.mixture.channels:
            raise ValueError("mixture.channels belongs to maps: the mixture is of all latent variables here")
        return self


class RealNVPGMM(Detector):
    """score = -log p(normal | x) = softplus(log odds), of one flow of vectors with a component per class.

    x `[D]` are an image's values one after another, padding included, standardised on the normals; above all
    those of a table of vectors, whose lines are read as images of one row (`images.formats.vector_table`).
    z = f(x) passes `blocks` affine couplings whose networks are dense, with permutations between them, and
    the mixture (`detectors.class_mixture`: its densities, its start, its loss) is of z as a whole, as FlowGMM
    has it.

    Stages: `scale` takes mean and deviation of the normals, `start` places the components, `joint` trains
    flow and mixture on every cohort that `mixture.learns_from` names. There are no changed copies of a
    vector, and so no consistency term.

    Parts: `posterior` (nats), `odds` (log odds, nats), `likelihood` (-log p(x | normal) / D, nats). No map.

    Source: P. Izmailov, P. Kirichenko, M. Finzi, A. G. Wilson, Semi-supervised learning with normalizing
    flows, ICML 2020 (its tabular and text data).
    """

    Settings = RealNVPGMMSettings
    settings: RealNVPGMMSettings
    ranks = frozenset({2, 3})
    added_later = frozenset({LINE})

    def build(self, *, pretrained: bool) -> None:
        settings = self.settings
        self.needs = frozenset(settings.mixture.shares)
        self.dimensions = self.channels * math.prod(self.size)
        if self.dimensions < 2:
            raise ValueError("a coupling needs vectors of at least two values; set preprocessing.size")
        subnet = partial(DenseSubnet, hidden=settings.hidden)
        self.flow = Flow(0, self.dimensions, blocks=settings.blocks, subnet=[subnet])
        self.classes = ClassMixture(self.dimensions, settings.mixture, pooled=False)
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(self.dimensions))
        self.register_buffer("scale", torch.ones(self.dimensions))
        self.sums: Tensor | None = None

    def stages(self) -> Iterator[Stage]:
        mixture = self.settings.mixture
        yield Stage("scale", {"normal": 1.0}, collect=self.collect_values, finish=self.standardise)
        yield Stage("start", mixture.shares, collect=self.collect, finish=self.classes.begin)
        yield Stage(
            "joint",
            mixture.shares,
            [
                Step(
                    (self.flow, self.classes),
                    self.loss,
                    name="joint",
                    paces=[(self.classes, mixture.pace)],
                )
            ],
            each_epoch=self.classes.each_epoch,
            validate=self.normal_loss,
        )
        yield from self.classes.calibration(lambda batch: self.classes.own_odds(self._latents(batch)[1]))

    def collect(self, batches: Batches) -> None:
        for name, batch in batches.items():
            self.classes.keep(name, self._latents(batch)[1])

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        """`ClassMixture.terms`, nats per value, with a draw of noise for each vector."""
        return self.classes.terms(
            {
                name: Latents(*found, torch.full_like(found[0], self.dimensions))
                for name, batch in batches.items()
                for found in [self._latents(batch, generator if self.training else None)]
            }
        )

    def normal_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss of normals alone, which held-out normals have too."""
        return self.loss({"normal": batches["normal"]}, generator)

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        base, z = self._latents(batch)
        with full_precision(z):
            odds = self.classes.log_odds(z)
            nats = base + self.classes.mixture.class_log_ratio(z)[:, 0]
        parts = {"posterior": softplus(odds), "odds": odds, "likelihood": -nats / self.dimensions}
        return Scores({name: Part(values) for name, values in parts.items()})

    def mixture(self) -> Mixture:
        return Mixture({"posterior": 1.0}, scaled=False)

    def notes(self) -> tuple[str, ...]:
        return self.classes.notes()

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        learns_from: tuple[Literal["unlabelled", "abnormal"], ...] = ("unlabelled", "abnormal")
        mixture = MixtureSettings(learns_from=learns_from[: rank - 1], consistency=0.0, calibrate=True)
        settings = RealNVPGMMSettings(blocks=2, hidden=8, mixture=mixture)
        collecting = dict.fromkeys(("scale", "start", "posterior"), StageSettings(batch_size=6))
        stages = {**collecting, "joint": StageSettings(steps=3, batch_size=6)}
        return Tiny(settings, 1, (1, 24) if rank == 2 else (4, 4, 4), stages)

    def collect_values(self, batches: Batches) -> None:
        """Count, sums and sums of squares, in float64."""
        x = batches["normal"].images.flatten(1).double()
        found = torch.stack((torch.ones_like(x), x, x.square())).sum(dim=1)
        self.sums = found if self.sums is None else self.sums + found

    def standardise(self) -> None:
        assert self.sums is not None
        count, total, squares = self.sums
        self.sums = None
        mean = total / count
        deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
        self.mean.copy_(mean)
        self.scale.copy_(deviation + FLOOR * deviation.square().mean().sqrt().clamp_min(1e-6))

    def _latents(self, batch: Batch, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """log p(x) of the standardised vectors with a standard normal latent, `[N]` nats, and z `[N, D]`."""
        images = batch.images.float()
        with full_precision(images):
            x = (images.flatten(1) - self.mean) / self.scale
            if generator is not None and self.settings.noise:
                drawn = torch.randn(x.shape, generator=generator, device=generator.device)
                x = x + self.settings.noise * drawn.to(x)
            z, log_determinant = self.flow(x)
            return self.flow.latent.log_density(z) + log_determinant, z


class DenseSubnet(nn.Sequential):
    """Three linear layers with ReLU between them; the last begins at 0, so that a flow begins as permutations
    of the values."""

    def __init__(self, channels_in: int, channels_out: int, hidden: int) -> None:
        last = nn.Linear(hidden, channels_out)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(
            nn.Linear(channels_in, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last
        )
