"""CFLOW-AD: a flow of single feature vectors, given where they lie (Gudovskiy et al., WACV 2022)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from secondread.detectors.blocks.feature_flow import CouplingSettings, NormalisationSettings, NormalisedMaps
from secondread.detectors.blocks.feature_maps import FeatureMaps, FeatureMapsSettings
from secondread.detectors.blocks.pooled_map import PooledMapSettings
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Step, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.flows.flow import Flow
from secondread.flows.position_code import position_code
from secondread.flows.subnets import LinearSubnet
from secondread.networks.encoder import EncoderSettings
from secondread.settings.base import Count, Layers, Width


class CFlowSettings(FeatureMapsSettings, PooledMapSettings, CouplingSettings, DetectorSettings):
    """The defaults are the paper's."""

    name: Literal["cflow"] = "cflow"
    features: NormalisationSettings = Field(
        NormalisationSettings(standardise="none"),
        description="of each level, fitted on the normals; the paper has none",
    )
    blocks: Layers = Field(8, description="of each level's flow")
    clamp: float = Field(1.9, gt=0, description="affine: bound of each log-scale")
    condition: Width = Field(128, description="numbers of the code of a position")
    positions: Count = Field(256, description="drawn for one step, of each level, among all of a batch")
    form: Literal["exp", "log"] = Field(
        "exp", description="of the map: levels less the sum of exp(l - highest l), or the mean of -l"
    )

    @property
    def default_strides(self) -> tuple[int, ...]:
        return (8, 16, 32)


class CFlow(Detector):
    """A flow f_l of each level l takes the feature vector h at a position, given a code c of the position.

        z = f_l(n(h); c),  l(h) = (log N(z; 0, I) + log |det dz/dn|) / C
        loss = sum over levels of the mean of -log sigmoid(l(h)), over `positions` of them

    n is the feature normalisation (the identity in the paper), C its channels, and c sines and cosines of
    the position (`flows.position_code`). The flow sees no neighbours; what a position's surroundings tell is
    in the encoder's receptive field. Positions are drawn without replacement from all valid ones of the
    batch, anew for each step. Couplings are followed by a fixed random rotation.

    form  exp: L - sum over the L levels of exp(l(h) - highest l), each on the image's grid. The highest l is
          that of the training normals, a buffer that the stage `constants` finds. In the authors' code both
          it and what stands here for L are maxima over the test set, so that a score depends on the other
          images; L is no more than another constant, and where `highest l` is another, levels weigh
          differently. log: the mean over levels of -l(h), which does not saturate; no such stage then

    Part and map: `likelihood`; the image score is pooled from the map. Images are `[N, C, *size]`; padding is
    neither in the loss nor in the score. ValueError where `condition` is no multiple of twice the rank.

    Source: D. Gudovskiy, S. Ishizaka, K. Kozuka, CFLOW-AD: Real-time unsupervised anomaly detection with
    localization via conditional normalizing flows, WACV 2022.
    """

    Settings = CFlowSettings
    settings: CFlowSettings
    part = "likelihood"
    ranks = frozenset({2, 3})
    gives_map = True

    def build(self, *, pretrained: bool) -> None:
        settings = self.settings
        maps = FeatureMaps(settings, self.channels, self.size, pretrained=pretrained)
        self.normalised = NormalisedMaps(settings.features, maps)
        self.flows = nn.ModuleList(
            Flow(
                0,
                channels,
                blocks=settings.blocks,
                subnet=(LinearSubnet,),
                elementwise=settings.elementwise,
                mixing="rotation",
                condition_channels=settings.condition,
            )
            for channels in self.normalised.channels
        )
        for level, grid in enumerate(maps.grids):
            code = position_code(settings.condition, grid).flatten(1).T.contiguous()
            self.register_buffer(f"code_{level}", code, persistent=False)
        self.highest: Tensor
        self.register_buffer("highest", torch.zeros(len(maps.grids)))
        self.seen: list[Tensor] = []

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "flow",
            {"normal": 1.0},
            [Step((self.flows,), self.loss, name="flow")],
            validate="steps",
            frozen=self.normalised.maps,
            prepare=self.normalised.prepare,
        )
        if self.settings.form == "exp":
            yield Stage("constants", {"normal": 1.0}, collect=self.collect, finish=self.finish)

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        """-log sigmoid(l) of positions drawn from each level."""
        batch = batches["normal"]
        terms = {}
        levels = self.normalised(batch, generator if self.training else None)
        for level, n in enumerate(levels):
            rows = n.movedim(1, -1).flatten(0, -2)
            there = self._rows_that_count(batch, level, len(rows))
            order = torch.randperm(len(there), generator=generator, device=generator.device)
            drawn = there[order[: self.settings.positions].to(there.device)]
            likelihood = self._likelihood(level, rows[drawn], drawn)
            terms[f"level_{level + 1}"] = -functional.logsigmoid(likelihood).mean()
        return terms

    def collect(self, batches: Batches) -> None:
        batch = batches["normal"]
        highest = []
        for level, likelihood in enumerate(self._likelihoods(batch)):
            rows = likelihood.flatten()
            highest.append(rows[self._rows_that_count(batch, level, len(rows))].amax())
        self.seen.append(torch.stack(highest))

    def finish(self) -> None:
        self.highest.copy_(torch.stack(self.seen).amax(dim=0))
        self.seen = []

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        maps_of, likelihoods = self.normalised.maps, list(enumerate(self._likelihoods(batch)))
        if self.settings.form == "exp":
            shown = [(level, 1 - torch.exp(own - self.highest[level])) for level, own in likelihoods]
            anomaly_map = maps_of.summed(shown, smoothing=self.settings.smoothing, valid=batch.valid)
        else:
            shown = [(level, -own) for level, own in likelihoods]
            anomaly_map = maps_of.mean(shown, smoothing=self.settings.smoothing, valid=batch.valid)
        value = self.settings.pooled(anomaly_map, batch.valid)
        return self.one_part(value, anomaly_map if maps else None)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = CFlowSettings(
            encoder=EncoderSettings(name="squeezenet1_1", weights="random"),
            strides=(4, 8),
            features=NormalisationSettings(standardise="channel", projection=8, noise=0.1),
            blocks=2,
            condition=12,
            positions=64,
        )
        stages = {"flow": StageSettings(steps=4, batch_size=4), "constants": StageSettings(batch_size=6)}
        size = (32, 32) if rank == 2 else (8, 32, 32)
        return Tiny(settings, 1, size, stages)

    def _likelihoods(self, batch: Batch) -> Iterator[Tensor]:
        """l(h) at every position of each level, `[N, 1, *grid]`."""
        for level, n in enumerate(self.normalised(batch)):
            rows = n.movedim(1, -1).flatten(0, -2)
            likelihood = self._likelihood(level, rows, torch.arange(len(rows), device=rows.device))
            yield likelihood.view(len(n), 1, *n.shape[2:])

    def _likelihood(self, level: int, rows: Tensor, numbers: Tensor) -> Tensor:
        """l(h) of feature vectors `[M, C]`, which have these numbers among all positions of the batch, image
        by image: `[M]`."""
        flow = self.flows[level]
        assert isinstance(flow, Flow)
        codes = self.get_buffer(f"code_{level}")
        given = codes[numbers.to(codes.device) % len(codes)]
        return flow.log_density_map(rows, given)[:, 0] / rows.shape[1]

    def _rows_that_count(self, batch: Batch, level: int, count: int) -> Tensor:
        """The numbers of a level's valid positions, of the `count` of the batch."""
        valid = self.normalised.maps.valid(batch.valid, level)
        if valid is None:
            return torch.arange(count, device=batch.images.device)
        return valid.flatten().nonzero()[:, 0]
