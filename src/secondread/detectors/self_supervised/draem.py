"""DRAEM: an image is rebuilt without its drawn anomaly, and a second network compares the two."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from secondread.anomalies.build import AnyAnomalySettings
from secondread.anomalies.kinds.draem import DraemSettings
from secondread.detectors.blocks.anomaly_segmentation import AnomalySegmentation, SegmentationSettings
from secondread.detectors.blocks.reconstruction import refuse_one_image
from secondread.detectors.blocks.valid_positions import mean_over
from secondread.detectors.contract import AUXILIARY, Batches, Tiny
from secondread.detectors.detector_settings import StageSettings
from secondread.networks.by_rank import channels_last, zero_padded_mean
from secondread.networks.draem.reconstruction import ReconstructionNetwork
from secondread.networks.draem.segmentation import SegmentationNetwork
from secondread.networks.refiner import focal_loss
from secondread.networks.structural_similarity import structural_similarity
from secondread.settings.base import Layers, Width, Window


class DraemDetectorSettings(SegmentationSettings):
    """The defaults are the paper's."""

    name: Literal["draem"] = "draem"
    anomalies: AnyAnomalySettings = DraemSettings()
    prior: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="the probability of an anomaly that the untrained network gives everywhere",
    )
    width: Width = Field(128, description="channels of the first level of the network that rebuilds")
    segmentation_width: Width = Field(64, description="the same of the network that compares")
    poolings: Layers = Field(
        5, ge=2, le=8, description="of the network that compares; the one that rebuilds has one fewer"
    )
    structure: float = Field(1.0, ge=0, description="weight of 1 - SSIM beside the squared error; 0 = none")
    window: Window = Field(
        21, description="the image score is taken from means of the map over so many positions per axis"
    )


class DraemNetwork(nn.Module):
    """Images `[N, C, *size]` to these as they would be without an anomaly, and logits `[N, 2, *size]`."""

    def __init__(self, rank: int, channels: int, settings: DraemDetectorSettings) -> None:
        super().__init__()
        self.reconstruction = ReconstructionNetwork(rank, channels, settings.width, settings.poolings - 1)
        self.segmentation = SegmentationNetwork(
            rank, 2 * channels, settings.segmentation_width, settings.poolings
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        images = channels_last(images)
        rebuilt = self.reconstruction(images)
        return rebuilt, self.segmentation(torch.cat((rebuilt, images), dim=1))


class Draem(AnomalySegmentation):
    """map = softmax(s([r(x), x])) of the class abnormal; r is a network that rebuilds, s one that compares.

        loss = |r(x') - x|² + `structure` (1 - SSIM(r(x'), x)) + focal(s([r(x'), x']), t)

    where x' is x with an anomaly (`anomalies`, DRAEM's textures in Perlin noise; half of the images stay
    clean) and t where it is: what the kind's target gives one half or more. Squared error and focal loss
    (γ = 2) are means over valid places, SSIM over windows of 11 within them. Both networks are trained
    together.

    Images are taken as prepared, in [0, 1]. The image score is the highest mean of the map over `window`
    positions per axis, those beyond the edge and outside the foreground counting as 0, as in the paper
    (`image_score` may be another). `smoothing` blurs the map. See `AnomalySegmentation` for `foreground`.

    Where the recipe has auxiliary images (`cohorts.auxiliary`), half of each training batch are such images,
    from which the kind takes its textures; else, and in held-out normals, it draws them.

    `ValueError` for sizes that are not multiples of 2^`poolings`; UserError for a training batch of one
    image.

    Source: V. Zavrtanik, M. Kristan, D. Skočaj, DRAEM: a discriminatively trained reconstruction embedding
    for surface anomaly detection, ICCV 2021, and the authors' code (VitjanZ/DRAEM), whose SSIM also counts
    windows that reach beyond the edge, filled with 0.
    """

    Settings = DraemDetectorSettings
    settings: DraemDetectorSettings
    uses = frozenset({AUXILIARY})
    on: ClassVar = {"normal": 0.5, AUXILIARY: 0.5}

    def build(self, *, pretrained: bool) -> None:
        super().build(pretrained=pretrained)
        self.draw = replace(self.draw, donors=AUXILIARY)

    def build_network(self, *, pretrained: bool) -> nn.Module:
        least = 2**self.settings.poolings
        if any(length % least or not length for length in self.size):
            raise ValueError(
                f"draem with {self.settings.poolings} poolings takes sizes that are multiples of {least}, "
                f"not {self.size}; lower poolings or change the size"
            )
        return DraemNetwork(len(self.size), self.channels, self.settings)

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        refuse_one_image(self, len(batch))
        x = batch.images.float()
        made = self.drawn(batch, generator, batches.get(AUXILIARY))
        rebuilt, logits = self.network(made.images)
        rebuilt = rebuilt.float()
        losses = {"squares": mean_over((rebuilt - x).square(), batch.valid).mean()}
        if self.settings.structure:
            similarity = structural_similarity(rebuilt, x, batch.valid).mean()
            losses["structure"] = self.settings.structure * (1 - similarity)
        focal = focal_loss(logits, made.target >= 0.5)
        return {**losses, "segmentation": mean_over(focal, batch.valid).mean()}

    def start_at(self, logit: float) -> None:
        bias = self.network.get_parameter("segmentation.last.bias")
        bias.data.copy_(torch.tensor((0.0, logit)))

    def logits(self, images: Tensor) -> Tensor:
        """`[N, 2, *size]`, normal and abnormal, float32."""
        found: Tensor = self.network(images)[1]
        return found.float()

    def map_of(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)[:, 1:]

    def averaged(self, anomaly_map: Tensor) -> Tensor:
        return zero_padded_mean(anomaly_map, self.settings.window)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = DraemDetectorSettings(width=4, segmentation_width=4, poolings=2, window=3)
        size = (16, 16) if rank == 2 else (8, 8, 8)
        return Tiny(settings, 1, size, {"segmentation": StageSettings(steps=6, batch_size=4)})
