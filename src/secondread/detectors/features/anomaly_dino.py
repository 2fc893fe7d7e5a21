"""AnomalyDINO: how far patches are in direction from all patches of normals (Damm et al., WACV 2025)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional

from secondread.detectors.blocks.encoder_settings import encoder_kind
from secondread.detectors.blocks.patch_tokens import PatchTokens, PatchTokensSettings
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.estimators.coreset import CoresetPool
from secondread.networks.encoder import EncoderSettings
from secondread.networks.precision import full_precision
from secondread.settings.base import Count, Width

NUMBERS = 2**23
"""Of one intermediate result, at most: 32 MiB."""
TURNS = tuple(range(45, 360, 45))
"""Degrees by which reference images are turned besides, where they are."""
CENTRE = 0.2
"""Where the middle of a map begins and, from the other end, ends."""
LEAST_OF_CENTRE = 0.35
"""Of the middle that is foreground: with less, foreground is on the other side of the first component."""


class AnomalyDINOSettings(PatchTokensSettings, DetectorSettings):
    name: Literal["anomaly-dino"] = "anomaly-dino"
    image_score: Literal["max", "mean", "top"] = "top"
    top_share: float = Field(0.01, gt=0, le=1, description="share of the patches that `top` averages")
    bank: Count = Field(
        100_000, description="most patches of normals kept; where there are more, a greedy coreset of them"
    )
    pool: Count = Field(
        400_000, description="most patches held at once in the fit, at least 4 times the bank"
    )
    projection: Width = Field(128, description="random directions in which the patches to keep are chosen")
    half_precision: bool = Field(True, description="of the patches that are kept")
    rotations: bool = Field(False, description="add each normal turned by every 45 degrees; pictures alone")
    foreground: PositiveFloat | None = Field(
        None,
        description="patches whose first principal component within the image is above it are foreground, "
        "and the others count neither in the bank nor in the score; paper: 10, for DINOv2; empty = all are",
    )

    @property
    def default_strides(self) -> tuple[int, ...]:
        """The last level that is not the coarsest, where nothing is said."""
        strides = sorted(encoder_kind(self.encoder).layers_by_stride)
        return tuple(strides[-2:-1] or strides)


class AnomalyDINO(Detector):
    """d_p = min over the bank M of 1 - cos(x_p, m); score = the mean of the highest `top_share` of d over
    patches (below 1 / `top_share` patches the maximum); the map is d, interpolated and blurred.

    x_p are patches of unit length of a frozen encoder (`blocks.patch_tokens`); M those of all normals, or of
    very many a greedy coreset, as PatchCore makes it (`estimators.coreset`), kept in half precision.

    rotations   M also holds the normals turned by each multiple of 45 degrees, about their middle
    foreground  the first principal component of an image's own patches, before unit length, with its largest
                entry positive; its sign is turned where at most 35 % of the middle 60 % of the map is above
                the threshold; the mask is dilated by 3 × 3 and closed. An image without foreground counts
                whole

    The coreset's random directions are drawn from torch's global generator when the detector is built.
    ValueError for rotations of volumes, and for a pool of less than four banks.

    Source: S. Damm, M. Laszkiewicz, J. Lederer, A. Fischer, AnomalyDINO: boosting patch-based few-shot
    anomaly detection with DINOv2, WACV 2025, and the authors' code (dammsi/AnomalyDINO).
    """

    Settings = AnomalyDINOSettings
    settings: AnomalyDINOSettings
    ranks = frozenset({2, 3})
    part = "distance"
    gives_map = True
    grows: Mapping[str, tuple[str | None, ...]] = {"bank": ("n", None)}
    keeps: Mapping[str, Literal["thumbnails", "features", "digests"]] = {"bank": "features"}

    def build(self, *, pretrained: bool) -> None:
        settings = self.settings
        if settings.rotations and len(self.size) != 2:
            raise ValueError("rotations: pictures can be turned, and these are volumes; set rotations: false")
        if settings.pool < 4 * settings.bank:
            raise ValueError(
                f"pool is {settings.pool}: it should be at least 4 times the bank, {4 * settings.bank}"
            )
        self.tokens = PatchTokens(settings, self.channels, self.size, pretrained=pretrained)
        self.bank: Tensor
        self.directions: Tensor
        width = self.tokens.dimensions
        precision = torch.float16 if settings.half_precision else torch.float32
        self.register_buffer("bank", torch.empty(0, width, dtype=precision))
        self.register_buffer(
            "directions", torch.randn(width, settings.projection) / math.sqrt(settings.projection)
        )
        self.pool: CoresetPool | None = None

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "bank", {"normal": 1.0}, prepare=self.tokens.prepare, collect=self.collect, finish=self.finish
        )

    def collect(self, batches: Batches) -> None:
        if self.pool is None:
            self.pool = CoresetPool(self.settings.pool, self.settings.bank, self.directions)
        batch = batches["normal"]
        self._add(batch, self.pool)
        for degrees in TURNS if self.settings.rotations else ():
            valid = torch.ones_like(batch.images[:, :1]) if batch.valid is None else batch.valid.float()
            inside = rotated(valid, degrees) > 0.5
            self._add(Batch(rotated(batch.images, degrees), inside), self.pool)

    def finish(self) -> None:
        assert self.pool is not None
        self.bank = self.pool.finish(self.settings.bank).to(self.bank)
        self.pool = None

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        patches, there = self._patches(batch)
        distances = self._distances(patches.flatten(0, 1)).view(patches.shape[:2])
        if there is not None:
            distances = distances.masked_fill(~there, 0)
        value = self.tokens.judged(distances, there)
        return self.one_part(value, self.tokens.placed(distances) if maps else None)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = AnomalyDINOSettings(
            encoder=EncoderSettings(name="squeezenet1_1", weights="random"),
            strides=(8,),
            bank=40,
            pool=160,
            projection=8,
            top_share=0.1,
            smoothing=1.0,
        )
        size = (32, 32) if rank == 2 else (8, 32, 32)
        return Tiny(settings, 1, size, {"bank": StageSettings(batch_size=4)})

    def _add(self, batch: Batch, pool: CoresetPool) -> None:
        patches, there = self._patches(batch)
        pool.add(patches.flatten(0, 1) if there is None else patches[there])

    def _patches(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Patches `[N, positions, D]` of unit length, and which count, `[N, positions]`; None = all."""
        raw, there = self.tokens.unscaled(batch), self.tokens.there(batch.valid)
        if self.settings.foreground is not None:
            there = torch.stack(
                [
                    foreground(
                        one, None if there is None else there[row], self.tokens.grid, self.settings.foreground
                    )
                    for row, one in enumerate(raw)
                ]
            )
        return nn.functional.normalize(raw, dim=2), there

    def _distances(self, rows: Tensor) -> Tensor:
        """1 - the cosine to the most alike of the bank, `[n]`."""
        with full_precision(rows):
            found = rows.new_full((len(rows),), -1.0)
            for part in self.bank.split(max(1, NUMBERS // max(len(rows), self.bank.shape[1]))):
                found = torch.maximum(found, (rows @ part.to(rows).T).amax(dim=1))
            return 1 - found


def foreground(patches: Tensor, there: Tensor | None, grid: tuple[int, ...], threshold: float) -> Tensor:
    """Which of one image's patches `[positions, D]` are foreground, bool `[positions]`; those that are there,
    where none is."""
    rows = patches if there is None else patches[there]
    with full_precision(patches):
        centred = patches.float() - rows.float().mean(dim=0)
        covariance = (centred if there is None else centred[there]).double()
        direction = torch.linalg.eigh(covariance.T @ covariance).eigenvectors[:, -1]
        direction = direction * direction[direction.abs().argmax()].sign()  # libraries differ in it
        first = (centred @ direction.to(centred)).view(1, 1, *grid)
    mask = first > threshold
    middle = mask[(0, 0, *(slice(int(side * CENTRE), int(side * (1 - CENTRE))) for side in grid))]
    if middle.float().mean() <= LEAST_OF_CENTRE:
        mask = -first > threshold
    widest = nn.functional.max_pool2d if len(grid) == 2 else nn.functional.max_pool3d
    grown = widest(mask.float(), 3, stride=1, padding=1)
    closed = 1 - widest(1 - widest(grown, 3, stride=1, padding=1), 3, stride=1, padding=1)
    found = closed.flatten() > 0.5
    if there is not None:
        found = found & there
    whole = torch.ones_like(found) if there is None else there
    return found if bool(found.any()) else whole


def rotated(images: Tensor, degrees: float) -> Tensor:
    """`[N, C, H, W]` float, turned anticlockwise by interpolation; 0 where nothing comes to lie."""
    height, width = images.shape[2:]
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    # affine_grid counts in half lengths of each axis, x first
    turn = torch.tensor([[cosine, -sine * height / width, 0], [sine * width / height, cosine, 0]])
    grid = functional.affine_grid(
        turn.to(images).expand(len(images), -1, -1), list(images.shape), align_corners=False
    )
    return functional.grid_sample(images, grid, align_corners=False)
