"""PatchCore: how far an image's patches are from all patches of normals (Roth et al., CVPR 2022)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d, pad

from secondread.detectors.blocks.encoder_settings import (
    AnyEncoderSettings,
    build_encoder,
    layers_of_strides,
    refuse_learning,
)
from secondread.detectors.blocks.valid_positions import lowest_in_padding, valid_on
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.estimators.coreset import CoresetPool
from secondread.estimators.nearest import nearest
from secondread.networks.cells import place, resample
from secondread.networks.encoder import EncoderSettings, map_places
from secondread.networks.gaussian_blur import gaussian_blur
from secondread.networks.precision import full_precision
from secondread.settings.base import Count, Width, Window


class PatchCoreSettings(DetectorSettings):
    name: Literal["patchcore"] = "patchcore"
    encoder: AnyEncoderSettings = EncoderSettings()
    layers: tuple[str, ...] | None = Field(
        None, description="patches lie on the first one's grid; empty = those of strides 8 and 16"
    )
    neighbourhood: Window = Field(3, description="positions per axis that a patch vector looks at; odd")
    dimensions: Width = Field(1024, description="of a layer's patch vector, and of all layers' together")
    share: float = Field(0.1, gt=0, le=1, description="of all patch vectors of normals, kept in the bank")
    bank: Count = Field(10_000, description="most patch vectors kept, whatever the share says")
    pool: Count = Field(
        100_000, description="most patch vectors held at once in the fit, at least 4 times the bank"
    )
    projection: Width = Field(128, description="random directions in which the vectors to keep are chosen")
    neighbours: int = Field(
        9,
        ge=0,
        le=10_000,
        description="of the nearest bank vector, by which the score is weighted; 0 = no weight",
    )
    smoothing: float = Field(
        4.0, ge=0, le=1_000, description="standard deviation in pixels of the map's blur"
    )

    @model_validator(mode="after")
    def _consistent(self) -> PatchCoreSettings:
        refuse_learning(self.encoder)
        if self.pool < 4 * self.bank:
            raise ValueError(f"pool is {self.pool}: it should be at least 4 times the bank, {4 * self.bank}")
        return self


class PatchCore(Detector):
    """score = w max over positions p of d_p, with d_p = min over the bank M of |x_p - m|; the map is d.

        w = 1 - exp(|x* - m*|) / sum over m in N(m*) of exp(|x* - m|)

    x* is the patch vector of largest d, m* its nearest in the bank, N(m*) the `neighbours` bank vectors
    nearest to m*, itself among them. The map holds d at the cells' centres (`networks.cells`), interpolated
    between them and blurred. Positions in padding enter neither the bank nor the maximum, and have the
    image's lowest distance in the map.

    x_p     each layer's channels at the `neighbourhood` positions per axis around p, zero outside the map, in
            one row; the row averaged down (or stretched) to `dimensions`; coarser layers
            interpolated at the centres of the first one's cells; the layers' rows side by side averaged
            down again
    M       a greedy coreset of the normals' patch vectors: `share` of them, at most `bank`. Of at most
            `pool` vectors it is the paper's, begun with the vector farthest from the mean (the authors'
            code: from ten random ones); beyond, the pool is reduced whenever it is full
            (`detectors.coreset.CoresetPool`). So memory does not grow with the data, and every normal patch
            lies within `radius` of the bank, measured as the fit goes. With r the smallest radius with which
            `bank` balls cover all patch vectors, it is at most 2r where all fit into the pool, and at most
            2r (2 + log2 of the times that the pool was full) where the levels of coresets fit into half of
            it, up to random projection; both for a bank that is full

    The projection is drawn from torch's global generator when the detector is built, and kept as a buffer.

    Source: K. Roth, L. Pemula, J. Zepeda, B. Schölkopf, T. Brox, P. Gehler, Towards total recall in
    industrial anomaly detection, CVPR 2022, and the authors' code (amazon-science/patchcore-inspection)
    for the patch vectors. The code leaves w out and takes squares of distances. How many N(m*) are is not
    said; 9 are the habit of later implementations.
    """

    Settings = PatchCoreSettings
    settings: PatchCoreSettings
    part = "distance"
    ranks = frozenset({2, 3})
    gives_map = True
    grows: Mapping[str, tuple[str | None, ...]] = {"bank": ("n", None)}
    keeps: Mapping[str, Literal["thumbnails", "features", "digests"]] = {"bank": "features"}

    def build(self, *, pretrained: bool) -> None:
        settings, channels = self.settings, self.channels
        layers = settings.layers or layers_of_strides(settings.encoder)[1:]
        self.encoder = build_encoder(
            settings.encoder, len(self.size), channels, pretrained=pretrained, layers=layers
        )
        sizes, self.cells = map_places(self.encoder, channels, self.size)
        self.grid = sizes[0]
        self.projection: Tensor
        self.bank: Tensor
        self.seen: Tensor
        self.radius: Tensor
        shape = (settings.dimensions, settings.projection)
        self.register_buffer("projection", torch.randn(shape) / math.sqrt(settings.projection))
        self.register_buffer("bank", torch.empty(0, settings.dimensions))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))
        self.register_buffer("radius", torch.zeros(()))
        self.pool: CoresetPool | None = None

    def stages(self) -> Iterator[Stage]:
        yield Stage("bank", {"normal": 1.0}, collect=self.collect, finish=self.finish)

    def collect(self, batches: Batches) -> None:
        if self.pool is None:
            self.pool = CoresetPool(self.settings.pool, self.settings.bank, self.projection)
        batch = batches["normal"]
        valid = valid_on(batch.valid, self.grid)
        for number, patches in enumerate(self._patches(batch.images)):
            self.pool.add(patches if valid is None else patches[valid[number].flatten()])

    def finish(self) -> None:
        assert self.pool is not None
        count = min(self.settings.bank, math.ceil(self.settings.share * self.pool.seen))
        self.bank = self.pool.finish(count)
        self.seen.fill_(self.pool.seen)
        self.radius.fill_(self.pool.radius)
        self.pool = None

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        patches = torch.stack(list(self._patches(batch.images)))
        found, index = nearest(patches.flatten(0, 1), self.bank, 1)
        shown = lowest_in_padding(found.view(-1, 1, *self.grid), valid_on(batch.valid, self.grid))
        distance, index = shown.flatten(1), index.view(patches.shape[:2])
        worst = distance.argmax(dim=1, keepdim=True)
        value = distance.gather(1, worst)[:, 0]
        every = torch.arange(len(patches), device=patches.device)
        value = value * self._weight(patches[every, worst[:, 0]], value, index.gather(1, worst)[:, 0])
        if not maps:
            return self.one_part(value)
        placed = place(shown, self.cells[0], self.size)
        return self.one_part(value, gaussian_blur(placed, self.settings.smoothing))

    def notes(self) -> tuple[str, ...]:
        if int(self.seen) <= self.settings.pool:
            return ()
        return (
            f"patchcore keeps {len(self.bank):,} of {int(self.seen):,} patch vectors, chosen from a pool of "
            f"{self.settings.pool:,}; none is farther than {float(self.radius):.3g} from those kept",
        )

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        name = "resnet18" if rank == 2 else "squeezenet1_1"
        settings = PatchCoreSettings(
            encoder=EncoderSettings(name=name, weights="random"),
            layers=None if rank == 2 else ("features.4", "features.7"),
            dimensions=32,
            share=0.5,
            bank=20,
            pool=80,
            projection=16,
            smoothing=1.0,
        )
        size = (32, 32) if rank == 2 else (8, 32, 32)
        return Tiny(settings, 1, size, {"bank": StageSettings(epochs=1, batch_size=4)})

    def _weight(self, patch: Tensor, distance: Tensor, index: Tensor) -> Tensor:
        """w of each image, `[N]`, from its x* `[N, D]`, |x* - m*| `[N]` and which m* is."""
        k = min(self.settings.neighbours, len(self.bank))
        if k < 2:
            return torch.ones_like(distance)
        around = self.bank[nearest(self.bank[index], self.bank, k)[1]]
        distances = (patch[:, None] - around).square().sum(dim=2).sqrt()
        return 1 - (distance - distances.logsumexp(dim=1)).exp()

    @torch.no_grad()
    def _patches(self, images: Tensor) -> Iterator[Tensor]:
        """x of each image, one after another: `[positions, dimensions]` float32."""
        maps = self.encoder(images)
        for number in range(len(images)):
            with full_precision(images):
                layers = [self._looking_around(layer[number : number + 1].float()) for layer in maps]
                together = self._on_one_grid(layers)
                patches = adaptive_avg_pool1d(together.flatten(2)[0].T, self.settings.dimensions)
            yield patches

    def _on_one_grid(self, layers: list[Tensor]) -> Tensor:
        """The layers' rows side by side, at the places of the first one's cells."""
        return torch.cat(
            [
                resample(layer, cells, self.cells[0], self.grid)
                for layer, cells in zip(layers, self.cells, strict=True)
            ],
            dim=1,
        )

    def _looking_around(self, layer: Tensor) -> Tensor:
        """`[1, C, *grid]` to `[1, dimensions, *grid]`: averages over channels and neighbours."""
        width, grid = self.settings.neighbourhood, layer.shape[2:]
        around = pad(layer, [width // 2] * (2 * len(grid)))
        for axis in range(len(grid)):
            around = around.unfold(2 + axis, width, 1)
        # a row of each position: its channels one after another, each with its neighbours
        rows = around[0].movedim(0, len(grid)).flatten(len(grid)).flatten(0, len(grid) - 1)
        averaged = adaptive_avg_pool1d(rows, self.settings.dimensions)
        return averaged.T.view(1, -1, *grid)
