"""Dinomaly: tokens of an encoder, restored from noise by linear attention (Guo et al., CVPR 2025)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from secondread.detectors.blocks.feature_maps import FeatureMaps, FeatureMapsSettings
from secondread.detectors.blocks.hard_mining import HardMining, HardMiningSettings
from secondread.detectors.blocks.pooled_map import PooledMapSettings
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Step, Tiny
from secondread.detectors.detector_settings import DetectorSettings, OptimiserSettings, StageSettings
from secondread.estimators.feature_normalisation import FeatureNormalisation
from secondread.networks.distillation.cosine import CosineForm, cosine_distance_map, levels_distance
from secondread.networks.distillation.token_decoder import TokenDecoder, parts, start_small
from secondread.networks.encoder import EncoderSettings
from secondread.settings.base import Layers, Width


class DinomalySettings(FeatureMapsSettings, PooledMapSettings, DetectorSettings):
    """The defaults are the paper's, for a vision transformer."""

    name: Literal["dinomaly"] = "dinomaly"
    groups: Layers = Field(2, description="of the encoder's layers, following ones together")
    grid: int = Field(
        -1, ge=-16, le=15, description="index of the layer on whose grid all are, where grids differ"
    )
    width: Width = Field(
        256, description="of a token in the decoder; layers of one width and grid have their own"
    )
    heads: Layers = Field(12, description="of the attention")
    blocks: Layers = Field(8, description="of the decoder")
    dropout: float = Field(0.2, ge=0, lt=1, description="of the noisy bottleneck")
    standardise: Literal["none", "channel"] = Field(
        "none", description="channel: each channel of the layers, by its mean and deviation over normals"
    )
    loss: CosineForm = "flattened"
    mining: HardMiningSettings = HardMiningSettings(rule="share", start=0.0, end=0.9, steps=1000, factor=0.1)
    keep_features: bool = Field(
        True, description="the encoder's maps are computed once per image and kept on disk"
    )
    smoothing: float = Field(
        2.1, ge=0, le=1_000, description="standard deviation in pixels of the map's blur"
    )
    image_score: Literal["max", "mean", "top"] = "top"
    top_share: float = Field(0.01, gt=0, le=1, description="share of pixels that `top` averages")


class Dinomaly(Detector):
    """Tokens of a frozen encoder pass a bottleneck with dropout; blocks of linear attention restore them.

        t_g = mean of the encoder's layers of group g,  tokens of one grid
        x = bottleneck(mean of all layers)
        s_g = mean of the decoder's blocks of group g, the last blocks for the first layers
        loss = mean over g of 1 - cos(t_g, s_g), all tokens as one vector
        map  = mean over g of 1 - cos at each token, on the image's grid, blurred
        score = mean of the map's highest `top_share`

    Groups leave the decoder loose: it need not restore each layer by itself. Hard mining: of the tokens, a
    share that grows to 0.9, those restored best, gives a tenth of its gradient.

    Any encoder will do. Layers of one width on one grid, as a vision transformer's, are averaged. Else layers
    are brought to one grid, `grid`, and stand side by side, in a group and in the bottleneck's input, with a
    linear layer to `width` before it and one from it behind the decoder. Class and register tokens are not
    seen, and tokens have no position beside what the encoder gave them.

    The part and the map are called `distance`. Padding has no part in loss and score. `[N, C, *S]` in [0, 1];
    ValueError for what the encoder does not take, and for groups, heads and grid that do not fit.

    Source: J. Guo, S. Lu, W. Zhang, F. Chen, H. Li, H. Liao, Dinomaly: the less is more philosophy in
    multi-class unsupervised anomaly detection, CVPR 2025, and the authors' code.
    """

    Settings = DinomalySettings
    settings: DinomalySettings
    part = "distance"
    gives_map = True
    ranks = frozenset({2, 3})

    def build(self, *, pretrained: bool) -> None:
        settings = self.settings
        self.maps = FeatureMaps(settings, self.channels, self.size, pretrained=pretrained)
        channels, grids = self.maps.channels, self.maps.grids
        if not -len(grids) <= settings.grid < len(grids):
            raise ValueError(f"grid is {settings.grid}: there are {len(grids)} layers, from 0")
        if settings.groups > len(grids):
            raise ValueError(f"groups is {settings.groups}: the encoder gives {len(grids)} layers; set fewer")
        self.alike = len(set(channels)) == len(set(grids)) == 1
        self.level = settings.grid % len(grids)
        self.parts = parts(len(channels), settings.groups)
        widths = [channels[0] if self.alike else sum(channels[start:end]) for start, end in self.parts]
        width = widths[0] if self.alike else settings.width
        self.widths = widths
        self.normalisation = FeatureNormalisation(
            sum(widths), grids[self.level], standardise=settings.standardise
        )
        self.decoder = TokenDecoder(
            width,
            heads=settings.heads,
            blocks=settings.blocks,
            groups=settings.groups,
            dropout=settings.dropout,
        )
        self.inward: nn.Module = nn.Identity() if self.alike else nn.Linear(sum(widths), width)
        self.outward = nn.ModuleList(nn.Identity() if self.alike else nn.Linear(width, own) for own in widths)
        start_small(self.inward)
        start_small(self.outward)
        self.mining = HardMining(settings.mining)

    def stages(self) -> Iterator[Stage]:
        student = (self.inward, self.decoder, self.outward)
        yield Stage(
            "decoder",
            {"normal": 1.0},
            [Step(student, self.loss, name="decoder", after=self.mining.step)],
            validate="steps",
            frozen=self.groups if self.settings.keep_features else None,
            prepare=self.prepare if self.settings.standardise != "none" else None,
            keeps=("mining",),
        )

    @torch.no_grad()
    def groups(self, images: Tensor) -> tuple[Tensor, ...]:
        """What each group of layers gives, `[N, C_g, *grid]`."""
        maps = self.maps(images)
        if self.alike:
            return tuple(torch.stack(maps[start:end]).mean(dim=0) for start, end in self.parts)
        joined = self.maps.on_grid(maps, self.level)
        return joined.split(self.widths, dim=1)

    def prepare(self, batches: Iterator[Batches], generator: torch.Generator) -> None:
        """Mean and deviation of each channel."""
        self.normalisation.fit(
            ((self._joined(b["normal"]), self._valid(b["normal"])) for b in batches), generator
        )

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        targets, valid = self._targets(batch), self._valid(batch)
        restored = self._restored(targets)
        if self.training:
            pairs = zip(targets, restored, strict=True)
            restored = [self.mining(target, own, valid) for target, own in pairs]
        distance = levels_distance(targets, restored, self.settings.loss, [valid] * len(targets))
        return {"distance": distance / len(targets)}

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        targets = self._targets(batch)
        distances = [
            cosine_distance_map(target, own)
            for target, own in zip(targets, self._restored(targets), strict=True)
        ]
        mean = torch.stack(distances).mean(dim=0)
        anomaly_map = self.maps.summed(
            [(self.level, mean)], smoothing=self.settings.smoothing, valid=batch.valid
        )
        value = self.settings.pooled(anomaly_map, batch.valid)
        return self.one_part(value, anomaly_map if maps else None)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = DinomalySettings(
            encoder=EncoderSettings(weights="random"),
            layers=("features.4", "features.7"),
            width=16,
            heads=2,
            blocks=2,
            mining=HardMiningSettings(rule="share", start=0.0, end=0.9, steps=4, factor=0.1),
            smoothing=1.0,
        )
        stage = StageSettings(steps=6, batch_size=4, optimiser=OptimiserSettings(name="adamw", lr=2e-3))
        return Tiny(settings, 1, (4, 32, 32)[-rank:], {"decoder": stage})

    def _joined(self, batch: Batch) -> Tensor:
        groups = self.groups(batch.images) if batch.features is None else batch.features
        return torch.cat(list(groups), dim=1)

    def _targets(self, batch: Batch) -> tuple[Tensor, ...]:
        normalised: Tensor = self.normalisation(self._joined(batch))
        return normalised.split(self.widths, dim=1)

    def _valid(self, batch: Batch) -> Tensor | None:
        return self.maps.valid(batch.valid, self.level)

    def _restored(self, targets: Sequence[Tensor]) -> list[Tensor]:
        """From the groups to what the decoder makes of them, in the same shapes."""
        if self.alike:
            counts = [end - start for start, end in self.parts]
            weighted = [count * target for count, target in zip(counts, targets, strict=True)]
            given = torch.stack(weighted).sum(dim=0) / sum(counts)
        else:
            given = torch.cat(list(targets), dim=1)
        grid = given.shape[2:]
        groups = self.decoder(self.inward(given.flatten(2).transpose(1, 2)))
        restored = [layer(tokens) for layer, tokens in zip(self.outward, groups, strict=True)]
        return [tokens.transpose(1, 2).unflatten(2, grid) for tokens in restored]
