"""One-class contrastive learning: views of an image against other images and turned ones, then a density."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.nn import functional

from secondread.detectors.blocks.encoder_settings import AnyEncoderSettings, build_encoder
from secondread.detectors.blocks.pooled_features import pooled
from secondread.detectors.blocks.reconstruction import refuse_one_image
from secondread.detectors.blocks.self_supervised.collapse import RepresentationSpread
from secondread.detectors.blocks.self_supervised.views import (
    QUARTERS,
    ViewSettings,
    random_view,
    turned,
)
from secondread.detectors.blocks.valid_positions import valid_on
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Step, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.errors import UserError
from secondread.estimators.kernel_density import kernel_distance, kernel_width
from secondread.estimators.reservoir import add_to_reservoir
from secondread.networks.encoders.residual import ResidualSettings
from secondread.networks.precision import full_precision
from secondread.networks.self_supervised.projection_head import ProjectionHead
from secondread.settings.base import Count, Width


class OneClassContrastiveSettings(DetectorSettings):
    """The defaults are the paper's, but for the encoder's stem."""

    name: Literal["one-class-contrastive"] = "one-class-contrastive"
    encoder: AnyEncoderSettings = Field(
        ResidualSettings(layer="layer4"),
        description="residual is trained from scratch, one that comes with weights is trained further",
    )
    head: Annotated[tuple[Width, ...], Field(min_length=1, max_length=64)] = Field(
        (*[512] * 8, 128), description="widths of the layers behind the embedding"
    )
    views: ViewSettings = ViewSettings(area=(0.5, 1.0))
    temperature: PositiveFloat = 0.2
    turned: bool = Field(
        True,
        description="every image enters in four quarter turns, each an image of its own; false: as it is",
    )
    width: PositiveFloat = Field(
        10.0, description="gamma of the density, times the dimensions and the variance of the embeddings"
    )
    bank: Count = Field(10_000, description="most normals kept, a uniform sample where there are more")


class OneClassContrastive(Detector):
    """An encoder learns to tell one image from another by two views of each, then a density of normals.

        loss   = mean over i of cross-entropy(z_i · z'_j / tau over j, i)
        score  = - log (mean over normals b of exp(-gamma |u - b|²)) / gamma,  u = e(x) / |e(x)|

    z and z' are the head's directions of two views of an image (`blocks.self_supervised.views`), e the mean
    over valid places of the encoder's last map, `[N, D]`; j runs over the batch. With `turned` each image
    enters four times, turned by 0, 90, 180 and 270 degrees in the plane of its last two axes, and these count
    as different images. Without, contrast would spread normals evenly over the sphere and leave abnormal
    images no room; turned ones take that room. gamma is `width` / (D v), v the variance of the normals' u.

    On held-out normals the spread of directions is measured after training, logged, and a collapse warned of.
    Images `[N, C, *S]` in [0, 1]. ValueError for images that the encoder does not take; UserError for a
    training batch of one image, and without normals.

    Source: K. Sohn, C.-L. Li, J. Yoon, M. Jin, T. Pfister, Learning and evaluating representations for deep
    one-class classification, ICLR 2021, and the authors' code.
    """

    Settings = OneClassContrastiveSettings
    settings: OneClassContrastiveSettings
    ranks = frozenset({2, 3})
    part = "density"
    grows: Mapping[str, tuple[str | None, ...]] = {"bank": ("n", None)}
    keeps: Mapping[str, Literal["thumbnails", "features", "digests"]] = {"bank": "features"}
    bank: Tensor
    gamma: Tensor
    seen: Tensor

    def build(self, *, pretrained: bool) -> None:
        self.encoder = build_encoder(
            self.settings.encoder, len(self.size), self.channels, pretrained=pretrained
        )
        dimensions = self.encoder.channels[-1]
        self.head = ProjectionHead(dimensions, self.settings.head)
        self.signs = RepresentationSpread()
        self.register_buffer("bank", torch.empty(0, dimensions))
        self.register_buffer("gamma", torch.ones(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def stages(self) -> Iterator[Stage]:
        on = {"normal": 1.0}
        yield Stage(
            "contrast",
            on,
            [Step((self.encoder, self.head), self.loss, name="contrast")],
            validate="steps",
            examine=self.examine,
            score=self.like_turned,
        )
        yield Stage("density", on, collect=self.collect, finish=self.finish)

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        refuse_one_image(self, len(batch))
        every = [turned(batch, quarter) for quarter in range(QUARTERS if self.settings.turned else 1)]
        views = [
            random_view(one, self.settings.views, self.size, generator) for _ in range(2) for one in every
        ]
        first, second = self.head(self.embedding(Batch.joined(views))).float().chunk(2)
        with full_precision(first):
            logits = first @ second.T / self.settings.temperature
        return {"contrast": functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device))}

    def embedding(self, batch: Batch) -> Tensor:
        """e, `[N, D]`."""
        last = self.encoder(batch.images)[-1]
        return pooled(last, valid_on(batch.valid, tuple(last.shape[2:])), "mean")

    def direction(self, batch: Batch) -> Tensor:
        """u, `[N, D]`."""
        with full_precision(batch.images):
            return functional.normalize(self.embedding(batch), dim=1)

    def like_turned(self, batch: Batch, noise: ScoringNoise) -> Tensor:
        """The cosine of an image's direction and that of the same upside down, `[N]`, which training makes
        small for normals: what there is before the density."""
        with full_precision(batch.images):
            z, other = (self.head(self.embedding(turned(batch, quarter))) for quarter in (0, 2))
        return (z * other).sum(dim=1)

    def examine(self, held_out: Iterator[Batch], generator: torch.Generator) -> dict[str, float]:
        return self.signs.of(torch.cat([self.direction(batch) for batch in held_out]))

    def warnings(self) -> tuple[str, ...]:
        return self.signs.warnings()

    def collect(self, batches: Batches) -> None:
        rows = self.direction(batches["normal"]).to(self.bank.device)
        self.bank, seen = add_to_reservoir(self.bank, int(self.seen), rows, self.settings.bank)
        self.seen.fill_(seen)

    def finish(self) -> None:
        if not len(self.bank):
            raise UserError("one-class-contrastive needs normal images, and there is none")
        self.gamma.fill_(kernel_width(self.bank, self.settings.width))

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        return self.one_part(kernel_distance(self.direction(batch), self.bank, self.gamma))

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = OneClassContrastiveSettings(
            encoder=ResidualSettings(width=4, blocks=1, layer="layer2"), head=(8, 4), bank=5
        )
        stages = {"contrast": StageSettings(steps=3, batch_size=4), "density": StageSettings(batch_size=4)}
        return Tiny(settings, 1, (32, 32) if rank == 2 else (16, 16, 16), stages)
