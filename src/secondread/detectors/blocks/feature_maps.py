"""Maps of several levels of a frozen encoder, and where their cells look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from secondread.detectors.blocks.encoder_settings import STRIDES, build_encoder, encoder_kind, refuse_learning
from secondread.detectors.blocks.pooled_features import LevelsSettings
from secondread.detectors.blocks.valid_positions import placed, valid_on
from secondread.detectors.contract import Batch
from secondread.networks.by_rank import neighbourhood_mean
from secondread.networks.cells import resample
from secondread.networks.encoder import map_places
from secondread.networks.gaussian_blur import gaussian_blur
from secondread.settings.base import Window


class FeatureMapsSettings(LevelsSettings):
    """A base beside `DetectorSettings`: its fields then stand among the detector's own. A detector whose
    paper has other levels overrides `default_strides`."""

    neighbourhood: Window = Field(
        1, description="positions per axis over which each map is averaged; odd; 1 = as it is"
    )

    @model_validator(mode="after")
    def _pretrained(self) -> Self:
        refuse_learning(self.encoder)
        return self

    @property
    def default_strides(self) -> tuple[int, ...]:
        """Of the layers that are taken where nothing is said."""
        return STRIDES

    def chosen_layers(self) -> tuple[str, ...] | None:
        """As said, or those of `default_strides` that the encoder names; None where it names none of them."""
        named = encoder_kind(self.encoder).layers_by_stride
        by_default = tuple(named[stride] for stride in self.default_strides if stride in named)
        said = super().chosen_layers() or (() if self.encoder.layer else by_default)
        return said or None


class FeatureMaps(nn.Module):
    """Images `[N, C, *size]` to the maps of every chosen level, each `[N, channels[l], *grids[l]]`.

    channels  of each level
    grids     spatial size of each level's map
    cells     where each level's cells look (`networks.cells`)

    Nothing is fitted and nothing trains; `forward` takes no gradient, and an image's maps do not depend on
    its batch, but for rounding. As a stage's `frozen` they are computed once per image and kept on disk.

    ValueError for a rank, channels or layers that the encoder does not take.
    """

    def __init__(
        self, settings: FeatureMapsSettings, channels: int, size: Sequence[int], *, pretrained: bool
    ) -> None:
        super().__init__()
        self.neighbourhood = settings.neighbourhood
        self.size = tuple(size)
        layers = settings.chosen_layers()
        self.encoder = build_encoder(
            settings.encoder, len(self.size), channels, pretrained=pretrained, layers=layers
        )
        self.channels = self.encoder.channels
        self.grids, self.cells = map_places(self.encoder, channels, self.size)

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.averaged(layer_map) for layer_map in self.encoder(images))

    def of(self, batch: Batch) -> tuple[Tensor, ...]:
        """A batch's maps: those that the training loop kept, or computed."""
        return batch.features or self(batch.images)

    def valid(self, valid: Tensor | None, level: int) -> Tensor | None:
        """A batch's `valid` on that level's grid: cells that are at least half valid (`valid_on`)."""
        return valid_on(valid, self.grids[level])

    def on_grid(self, maps: Sequence[Tensor], level: int = 0) -> Tensor:
        """All levels' maps at the cells of one of them, side by side: `[N, sum of channels, *grid]` float32.
        Coarser maps are interpolated at the centres of its cells, finer ones averaged around them."""
        target, grid = self.cells[level], self.grids[level]
        brought = [
            resample(h.float(), cells, target, grid) for h, cells in zip(maps, self.cells, strict=True)
        ]
        return brought[0] if len(brought) == 1 else torch.cat(brought, dim=1)

    def place(
        self, values: Tensor, level: int, *, smoothing: float = 0.0, valid: Tensor | None = None
    ) -> Tensor:
        """Values `[N, 1, *grid]` of that level's cells on the image's grid, `[N, 1, *size]`, interpolated
        between the cells' centres and blurred by a Gaussian of `smoothing` pixels. With a batch's `valid`,
        cells in padding have the image's lowest value elsewhere, so that what a detector thinks of padding
        does not come into the image by interpolation and blur."""
        there = self.valid(valid, level)
        return placed(values.float(), there, self.cells[level], self.size, smoothing)

    def summed(
        self,
        values: Iterable[tuple[int, Tensor]],
        *,
        smoothing: float = 0.0,
        valid: Tensor | None = None,
    ) -> Tensor:
        """Values `[N, 1, *grid]` of several levels, each with its level's number, at their places on the
        image's grid (`place`), added up and blurred: `[N, 1, *size]`."""
        return gaussian_blur(self._placed(values, valid).sum(dim=0), smoothing)

    def mean(
        self,
        values: Iterable[tuple[int, Tensor]],
        *,
        smoothing: float = 0.0,
        valid: Tensor | None = None,
    ) -> Tensor:
        """The same, the mean over the levels in place of their sum."""
        return gaussian_blur(self._placed(values, valid).mean(dim=0), smoothing)

    def averaged(self, layer_map: Tensor) -> Tensor:
        """The mean over the neighbourhood, of the positions of it that lie on the map."""
        return neighbourhood_mean(layer_map, self.neighbourhood)

    def _placed(self, values: Iterable[tuple[int, Tensor]], valid: Tensor | None) -> Tensor:
        """`[levels, N, 1, *size]`."""
        return torch.stack([self.place(own, level, valid=valid) for level, own in values])
