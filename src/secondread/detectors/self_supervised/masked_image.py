"""Masked images: an encoder learns to fill in hidden patches of images, for whatever method takes it then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.encoder_settings import AnyEncoderSettings, build_encoder, encoder_kind
from secondread.detectors.blocks.gaussian import ComponentsSettings, Gaussian
from secondread.detectors.blocks.pooled_features import pooled
from secondread.detectors.blocks.reconstruction import refuse_one_image
from secondread.detectors.blocks.self_supervised.collapse import RepresentationSpread
from secondread.detectors.blocks.valid_positions import valid_on
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Step, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.networks.by_rank import batch_norms
from secondread.networks.encoders.residual import ResidualSettings
from secondread.networks.precision import full_precision
from secondread.networks.self_supervised.masked_patches import (
    PatchDecoder,
    hidden_patches,
    on_pixels,
    pixels_of_patches,
)
from secondread.settings.base import Side, Width
from secondread.wording.sizes import times

HIDDEN = 0.5
"""What stands in a hidden patch: the middle of [0, 1]."""


class MaskedImageSettings(DetectorSettings):
    name: Literal["masked-image"] = "masked-image"
    encoder: AnyEncoderSettings = Field(
        ResidualSettings(width=16, layer="layer4"),
        description="residual is trained from scratch, one that comes with weights is trained further; all "
        "levels up to its layer learn",
    )
    patch: Side = Field(8, description="pixels per axis of a patch that is hidden")
    share: float = Field(0.6, gt=0, lt=1, description="of the patches, hidden")
    width: Width = Field(64, description="of the decoder, which is used in the fit alone")


class MaskedImage(Detector):
    """An encoder f learns to fill in what is hidden from it, and a Gaussian tells how far an image is from
    normals.

        x~     = x with the share `share` of its patches set to 0.5
        loss   = mean over images and hidden valid pixels of (d(f(x~)) - x)^2
        e(x)   = mean over valid places of each of f's maps, side by side, float32 `[N, D]`
        score  = sqrt((e(x) - m)^T C^-1 (e(x) - m)),  m and C of the normals

    d is a small decoder on all of f's levels (`networks.self_supervised.masked_patches`). In the stage
    `statistics` batch normalisation's running statistics are taken anew from whole images, since those of
    training are of images with patches hidden; an encoder that came with weights keeps its own.

    It learns from normals and from unlabelled images, where there are any: every image of both once an epoch.
    Statistics and Gaussian are the normals'. What it is for is the encoder: another detector has it by
    `encoder: {name: learnt, weights: BUNDLE}`. There is no mirror image unless the recipe augments with it.

    The spread of embeddings of held-out normals is measured, logged, and a collapse warned of. Images
    `[N, C, *S]` in [0, 1], S multiples of `patch`. ValueError for others, and for what the encoder does not
    take; UserError for a training batch of one image.

    Sources: K. He, X. Chen, S. Xie, Y. Li, P. Dollár, R. Girshick, Masked autoencoders are scalable vision
    learners, CVPR 2022; Z. Xie et al., SimMIM: a simple framework for masked image modeling, CVPR 2022, whose
    encoder sees the hidden patches as a constant, as a convolutional one has to.
    """

    Settings = MaskedImageSettings
    settings: MaskedImageSettings
    ranks = frozenset({2, 3})
    uses = frozenset({"unlabelled"})
    part = "distance"

    def build(self, *, pretrained: bool) -> None:
        settings, rank = self.settings, len(self.size)
        if any(length % settings.patch or length == settings.patch for length in self.size):
            raise ValueError(
                f"masked-image hides patches of {settings.patch} pixels per axis: sizes should be larger "
                f"multiples of that, not {times(self.size)}"
            )
        self.grid = tuple(length // settings.patch for length in self.size)
        self.encoder = build_encoder(
            settings.encoder, rank, self.channels, pretrained=pretrained, layers=self.all_layers()
        )
        values = self.channels * settings.patch**rank
        self.decoder = PatchDecoder(rank, self.encoder.channels, settings.width, values)
        self.gaussian = Gaussian(sum(self.encoder.channels))
        self.spread = RepresentationSpread()

    def all_layers(self) -> tuple[str, ...] | None:
        """The encoder's levels up to its layer; None where it names none."""
        named = list(encoder_kind(self.settings.encoder).layers_by_stride.values())
        last = self.settings.encoder.layer
        if last is None or last not in named:
            return tuple(named) or None if last is None else (last,)
        return tuple(named[: named.index(last) + 1])

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "masking",
            {"normal": None, "unlabelled": None},
            [Step((self.encoder, self.decoder), self.loss, name="masking")],
            validate="steps",
            score=self.unfilled,
        )
        if encoder_kind(self.settings.encoder).learns:
            self.passed = 0
            yield Stage("statistics", {"normal": 1.0}, collect=self.collect_statistics)
        yield Stage(
            "density", {"normal": 1.0}, collect=self.collect, finish=self.finish, examine=self.examine
        )

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = Batch.joined(batches.values()) if self.training else batches["normal"]
        refuse_one_image(self, len(batch))
        hidden = hidden_patches(len(batch), self.grid, self.settings.share, generator)
        return {"filled": self.error(batch, hidden.to(batch.images.device)).mean()}

    def error(self, batch: Batch, hidden: Tensor) -> Tensor:
        """Of each image `[N]`: the mean squared error of the pixels in its hidden patches that are valid."""
        x, side = batch.images.float(), self.settings.patch
        away = on_pixels(hidden, side)
        filled = self.decoder(self.encoder(torch.where(away, HIDDEN, x)), self.grid).float()
        counted = away if batch.valid is None else away & batch.valid
        weight = pixels_of_patches(counted.expand_as(x).float(), side)
        squares = (filled - pixels_of_patches(x, side)).square() * weight
        return squares.flatten(1).sum(dim=1) / weight.flatten(1).sum(dim=1).clamp_min(1)

    def unfilled(self, batch: Batch, noise: ScoringNoise) -> Tensor:
        """How badly a chessboard of hidden patches is filled in, `[N]`: what there is before the Gaussian."""
        places = torch.meshgrid(*[torch.arange(length) for length in self.grid], indexing="ij")
        chess = (torch.stack(places).sum(dim=0) % 2 == 0).to(batch.images.device)
        with full_precision(batch.images):
            return self.error(batch, chess.expand(len(batch), 1, *self.grid))

    def collect_statistics(self, batches: Batches) -> None:
        """Running statistics as the mean over batches of one pass."""
        batch = batches["normal"]
        if len(batch) < 2:
            return
        norms = batch_norms(self.encoder)
        before = [norm.momentum for norm in norms]
        self.passed += 1
        for norm in norms:
            norm.momentum = 1 / self.passed
            norm.train()
        self.encoder(batch.images)
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.eval()

    def embedding(self, batch: Batch) -> Tensor:
        """e, `[N, D]`."""
        maps = self.encoder(batch.images)
        return torch.cat([pooled(h, valid_on(batch.valid, tuple(h.shape[2:])), "mean") for h in maps], dim=1)

    def collect(self, batches: Batches) -> None:
        self.gaussian.add(self.embedding(batches["normal"]))

    def finish(self) -> None:
        """m and C. `UserError` with fewer than two normals."""
        self.gaussian.fit(ComponentsSettings(), "masked-image")

    def examine(self, held_out: Iterator[Batch], generator: torch.Generator) -> dict[str, float]:
        return self.spread.of(torch.cat([self.embedding(batch) for batch in held_out]))

    def warnings(self) -> tuple[str, ...]:
        return self.spread.warnings()

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        with full_precision(batch.images):
            return self.one_part(self.gaussian.distance(self.embedding(batch)))

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = MaskedImageSettings(
            encoder=ResidualSettings(width=8, blocks=1, layer="layer2"), patch=8 if rank == 2 else 4, width=4
        )
        stages = {
            "masking": StageSettings(steps=3, batch_size=6),
            "statistics": StageSettings(batch_size=4),
            "density": StageSettings(batch_size=4),
        }
        return Tiny(settings, 1, (32, 32) if rank == 2 else (16, 16, 16), stages)
