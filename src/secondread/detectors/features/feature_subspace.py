"""Feature subspace: what of an encoder's features the principal components of normals do not explain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from secondread.detectors.blocks.encoder_settings import (
    build_encoder,
    encoder_kind,
    refuse_learning,
)
from secondread.detectors.blocks.pooled_features import Grids, LevelsSettings, pooled_to_cells, refuse_finer
from secondread.detectors.blocks.valid_positions import placed, valid_on
from secondread.detectors.contract import (
    Batch,
    Batches,
    Detector,
    Mixture,
    Part,
    Scores,
    ScoringNoise,
    Stage,
    Tiny,
)
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.estimators.reservoir import add_to_reservoir
from secondread.estimators.shrunk_gaussian import Moments, add_moments
from secondread.estimators.subspace import Subspace
from secondread.networks.encoder import EncoderSettings, map_places


class FeatureSubspaceSettings(LevelsSettings, DetectorSettings):
    name: Literal["feature-subspace"] = "feature-subspace"
    layers: tuple[str, ...] | None = Field(
        None, description="the levels; empty = the last two that the encoder names by their strides"
    )
    grids: Grids = Field(
        (2, 4), description="cells per axis of the grids to which each level is averaged for the score"
    )
    variance: float = Field(
        0.97, gt=0, lt=1, description="share of it that the principal components keep, in every subspace"
    )
    most: int = Field(
        2_000,
        ge=2,
        le=10**6,
        description="normals that the score's subspaces are fitted on, a uniform sample where there are more",
    )
    smoothing: float = Field(
        4.0, ge=0, le=1_000, description="standard deviation in pixels of the map's blur"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse_learning(self.encoder)
        if len(set(self.grids)) < len(self.grids):
            raise ValueError("grids names a grid twice")
        return self

    def chosen_layers(self) -> tuple[str, ...] | None:
        """As said, or the last two that the encoder names by their strides; None where it names none."""
        named = encoder_kind(self.encoder).layers_by_stride
        return super().chosen_layers() or tuple(named[stride] for stride in sorted(named)[-2:]) or None


class FeatureSubspace(Detector):
    """score = sum over levels l and grids g of the standardised |(I - V^T V)(x - m)|.

    x is the map of level l averaged over the valid positions of each cell, of g cells per axis, all cells
    side by side; m the normals' mean of it and the rows of V the fewest of their principal components that
    hold `variance` of its variance. Each (l, g) is a part, `level_1_grid_2` say, and parts are standardised
    on held-out normals: of the normals that V was fitted on the distance is too small where they are fewer
    than x has coordinates.

    map: at each position of level l the same distance of its own feature vector, from one subspace for all
    positions of the level, placed by the cells and blurred. Maps of levels are standardised and added up.

    The score's subspaces are fitted on at most `most` normals, kept from `collect` to `finish`; that of
    positions on the valid positions of all, in one pass that keeps moments.

    Sources: I. Ndiour, N. Ahuja, O. Tickoo, Out-of-distribution detection with subspace techniques and
    probabilistic modeling of features, arXiv 2012.04250 (the distance, of pooled features of one level);
    J. Yang, Y. Shi, Z. Qi, DFR: Deep feature reconstruction for unsupervised anomaly segmentation, arXiv
    2012.07122 (the map; there by an autoencoder of 1×1 convolutions, of which this is the linear form).
    """

    Settings = FeatureSubspaceSettings
    settings: FeatureSubspaceSettings
    ranks = frozenset({2, 3})

    def build(self, *, pretrained: bool) -> None:
        settings, channels = self.settings, self.channels
        self.encoder = build_encoder(
            settings.encoder,
            len(self.size),
            channels,
            pretrained=pretrained,
            layers=settings.chosen_layers(),
        )
        self.grids, self.cells = map_places(self.encoder, channels, self.size)
        pooled, places = {}, {}
        for level, (width, grid) in enumerate(zip(self.encoder.channels, self.grids, strict=True), start=1):
            refuse_finer(settings.grids, grid, f"the map of level {level}")
            places[f"level_{level}"] = Subspace(width)
            for side in settings.grids:
                pooled[f"level_{level}_grid_{side}"] = Subspace(width * side ** len(grid))
        self.pooled = nn.ModuleDict(pooled)
        self.places = nn.ModuleDict(places)
        self.grows: Mapping[str, tuple[str | None, ...]] = {
            f"{group}.{name}.basis": (f"{name}_components", None)
            for group, names in (("pooled", pooled), ("places", places))
            for name in names
        }
        self.sample, self.seen = torch.empty(0, sum(self._widths())), 0
        self.sums: list[Moments | None] = [None] * len(places)

    def stages(self) -> Iterator[Stage]:
        yield Stage("subspaces", {"normal": 1.0}, collect=self.collect, finish=self.finish)

    def collect(self, batches: Batches) -> None:
        batch = batches["normal"]
        maps = self._maps(batch.images)
        rows = torch.cat(self._pooled(maps, batch.valid), dim=1).cpu()
        self.sample, self.seen = add_to_reservoir(self.sample, self.seen, rows, self.settings.most)
        for level, h in enumerate(maps):
            rows = h.movedim(1, -1)
            valid = valid_on(batch.valid, self.grids[level])
            rows = rows.flatten(0, -2) if valid is None else rows[valid[:, 0]]
            self.sums[level] = add_moments(self.sums[level], rows)

    def finish(self) -> None:
        """Every subspace. `UserError` where there are not two normals that differ."""
        share = self.settings.variance
        for subspace, rows in zip(self._of_score(), self.sample.split(self._widths(), dim=1), strict=True):
            subspace.fit(rows, share, "feature-subspace")
        for subspace, sums in zip(self._of_places(), self.sums, strict=True):
            assert sums is not None
            subspace.fit_moments(sums, share)
        self.sample = self.sample[:0]
        self.sums = [None] * len(self.sums)

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        found = self._maps(batch.images)
        rows = self._pooled(found, batch.valid)
        parts = {
            name: Part(subspace(x))
            for name, subspace, x in zip(self.pooled, self._of_score(), rows, strict=True)
        }
        return Scores(parts, self._placed(found, batch.valid) if maps else {})

    def mixture(self) -> Mixture:
        return Mixture(dict.fromkeys(self.pooled, 1.0))

    def map_mixture(self) -> Mixture:
        return Mixture(dict.fromkeys(self.places, 1.0))

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = FeatureSubspaceSettings(
            encoder=EncoderSettings(name="squeezenet1_1", weights="random"),
            strides=(4, 8),
            grids=(1, 2),
            variance=0.9,
            smoothing=1.0,
        )
        size = (32, 32) if rank == 2 else (16, 32, 32)
        return Tiny(settings, 1, size, {"subspaces": StageSettings(epochs=1, batch_size=4)})

    @torch.no_grad()
    def _maps(self, images: Tensor) -> list[Tensor]:
        """Each level's map, `[N, C, *grid]` float32."""
        return [h.float() for h in self.encoder(images)]

    def _pooled(self, maps: Sequence[Tensor], valid: Tensor | None) -> list[Tensor]:
        """x of each part, `[N, C * g * g]`."""
        there = [valid_on(valid, grid) for grid in self.grids]
        return [
            pooled_to_cells(h, seen, side).flatten(1)
            for h, seen in zip(maps, there, strict=True)
            for side in self.settings.grids
        ]

    def _placed(self, maps: Sequence[Tensor], valid: Tensor | None) -> dict[str, Tensor]:
        """The distance at each position on the image's grid, `[N, 1, *size]`, of each level."""
        found = {}
        for name, subspace, h, cells in zip(self.places, self._of_places(), maps, self.cells, strict=True):
            rows = h.movedim(1, -1)
            distance = subspace(rows.flatten(0, -2)).view(rows.shape[:-1])[:, None]
            there = valid_on(valid, tuple(distance.shape[2:]))
            found[name] = placed(distance, there, cells, self.size, self.settings.smoothing)
        return found

    def _widths(self) -> list[int]:
        return [len(subspace.mean) for subspace in self._of_score()]

    def _of_score(self) -> list[Subspace]:
        return [subspace for subspace in self.pooled.values() if isinstance(subspace, Subspace)]

    def _of_places(self) -> list[Subspace]:
        return [subspace for subspace in self.places.values() if isinstance(subspace, Subspace)]
