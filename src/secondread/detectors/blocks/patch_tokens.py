"""Patches: positions of an encoder's map as vectors of unit length, all chosen levels side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from secondread.detectors.blocks.feature_flow import (
    NormalisationSettings,
    NormalisationWithoutNoise,
    NormalisedMaps,
)
from secondread.detectors.blocks.feature_maps import FeatureMaps, FeatureMapsSettings
from secondread.detectors.blocks.pooled_map import PooledMapSettings
from secondread.detectors.contract import Batch, Batches


class PatchTokensSettings(FeatureMapsSettings, PooledMapSettings):
    """A base beside `DetectorSettings`. `image_score` and `top_share` are of the patches' distances, not of
    the map's pixels."""

    features: NormalisationWithoutNoise = Field(
        NormalisationSettings(standardise="none"),
        description="what each level's map passes before patches are brought to unit length",
    )
    smoothing: float = Field(
        4.0, ge=0, le=1_000, description="standard deviation in pixels of the map's blur"
    )


class PatchTokens(nn.Module):
    """Patches x of a batch on the grid of the first level, `[N, positions, dimensions]` float32, |x| = 1.

    Coarser levels are interpolated at the centres of the first one's cells and joined by channels
    (`FeatureMaps.on_grid`), after each level's own normalisation, which is fitted on normals (`prepare`).
    """

    def __init__(
        self, settings: PatchTokensSettings, channels: int, size: Sequence[int], *, pretrained: bool
    ) -> None:
        super().__init__()
        self.settings = settings
        self.normalised = NormalisedMaps(
            settings.features, FeatureMaps(settings, channels, size, pretrained=pretrained)
        )
        self.dimensions = sum(self.normalised.channels)
        self.grid = self.maps.grids[0]

    @property
    def maps(self) -> FeatureMaps:
        return self.normalised.maps

    @property
    def positions(self) -> int:
        return torch.Size(self.grid).numel()

    @property
    def prepare(self) -> Callable[[Iterator[Batches], torch.Generator], None] | None:
        """As a stage's `prepare`; None where there is nothing to fit."""
        return self.normalised.prepare

    def forward(self, batch: Batch) -> Tensor:
        return nn.functional.normalize(self.unscaled(batch), dim=2)

    @torch.no_grad()
    def unscaled(self, batch: Batch) -> Tensor:
        """The same before they are brought to unit length."""
        together = self.maps.on_grid(self.normalised(batch))
        return together.flatten(2).transpose(1, 2)

    def there(self, valid: Tensor | None) -> Tensor | None:
        """Which patches are of the image, bool `[N, positions]`; None = all."""
        on_grid = self.maps.valid(valid, 0)
        return None if on_grid is None else on_grid.flatten(1)

    def judged(self, distances: Tensor, there: Tensor | None) -> Tensor:
        """The image score `[N]` of patches' distances `[N, positions]`, over patches that are there."""
        seen = None if there is None else self._on_grid(there)
        return self.settings.pooled(self._on_grid(distances), seen)

    def placed(self, distances: Tensor, valid: Tensor | None = None) -> Tensor:
        """Distances `[N, positions]` on the image's grid, blurred: `[N, 1, *size]` (`FeatureMaps.place`)."""
        smoothing = self.settings.smoothing
        return self.maps.place(self._on_grid(distances), 0, smoothing=smoothing, valid=valid)

    def _on_grid(self, values: Tensor) -> Tensor:
        return values.view(len(values), 1, *self.grid)
