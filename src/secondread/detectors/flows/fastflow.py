"""FastFlow: a two-dimensional flow on each level of a frozen encoder (Yu et al., 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from secondread.detectors.blocks.feature_flow import CouplingSettings, NormalisationSettings, NormalisedMaps
from secondread.detectors.blocks.feature_maps import FeatureMaps, FeatureMapsSettings
from secondread.detectors.blocks.pooled_map import PooledMapSettings
from secondread.detectors.blocks.valid_positions import mean_over
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Step, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.flows.flow import Flow
from secondread.flows.subnets import ConvSubnet
from secondread.networks.encoder import EncoderSettings
from secondread.settings.base import Layers

TINY = 1e-5
"""Added to the variance under a layer normalisation's root."""


class FastFlowSettings(FeatureMapsSettings, PooledMapSettings, CouplingSettings, DetectorSettings):
    """The defaults are the paper's for Wide-ResNet-50-2."""

    name: Literal["fastflow"] = "fastflow"
    features: NormalisationSettings = Field(
        NormalisationSettings(standardise="none"),
        description="of each level, fitted on the normals; the paper has none",
    )
    layer_norm: Literal["none", "plain", "affine"] = Field(
        "affine", description="of each map as a whole; affine: with a learned scale, which the density counts"
    )
    steps: Layers = Field(8, description="coupling blocks of each level")
    alternate: bool = Field(True, description="1×1 subnets in every second step; else all are 3×3")
    hidden_ratio: float = Field(
        1.0, gt=0, le=16, description="hidden channels of a subnet, as a multiple of its input's"
    )
    flow_loss: Literal["nats", "per_dimension"] = "nats"
    form: Literal["exp", "square", "density"] = Field(
        "exp", description="of the map: -exp(-m / 2), m / 2 with m the mean of z^2, or -log p per channel"
    )


class FastFlow(Detector):
    """A flow f_l takes the map h_l of each level to z_l, which is standard normal for normal images.

        n_l = n(h_l),  z_l = f_l(n_l)
        log p(n_l) = log N(z_l; 0, I) + log |det dz_l/dn_l|
        loss = sum over levels of -log p(n_l),  the mean over images
        m_l  = mean over channels of z_l^2, at each position

    Map by `form`, on the image's grid, the mean over levels: exp, -exp(-m_l / 2) as in the paper; square,
    m_l / 2; density, -log p / C with C channels. exp is square at one level but for the scale, in which
    everything far from normal is the same (-0): from m_l of about 200 on it is 0 in float32, and positions
    tie. Only density has the log-determinant. The image score is pooled from the map.

    n is the feature normalisation, and then layer normalisation over channels and valid positions of the
    image. The learned scale of layer normalisation is part of the flow here: log |scale| is in the
    log-determinant. The public code trains it by the likelihood and leaves it out there, so that the
    likelihood rises when features shrink, with nothing learned.

    Each step is a coupling block of `flows.coupling`; its subnet is convolution, ReLU, convolution, both 3×3
    or both 1×1 in turn. Part and map: `likelihood`. Images are `[N, C, *size]`; padding is neither in the
    loss nor in the score.

    Source: J. Yu, Y. Zheng, X. Wang, W. Li, Y. Wu, R. Zhao, L. Wu, FastFlow: Unsupervised anomaly detection
    and localization via 2D normalizing flows, arXiv 2111.07677. The authors published no code; what the paper
    leaves open is as the public re-implementation gathierry/FastFlow has it.
    """

    Settings = FastFlowSettings
    settings: FastFlowSettings
    part = "likelihood"
    ranks = frozenset({2, 3})
    gives_map = True

    def build(self, *, pretrained: bool) -> None:
        settings, rank = self.settings, len(self.size)
        maps = FeatureMaps(settings, self.channels, self.size, pretrained=pretrained)
        self.normalised = NormalisedMaps(settings.features, maps)
        flows, norms = [], []
        for channels, grid in zip(self.normalised.channels, maps.grids, strict=True):
            hidden = max(1, int(settings.hidden_ratio * (channels - channels // 2)))
            kernels = (3, 1) if settings.alternate else (3,)
            flows.append(
                Flow(
                    rank,
                    channels,
                    blocks=settings.steps,
                    subnet=[partial(ConvSubnet, rank, hidden=hidden, kernels=(k, k)) for k in kernels],
                    elementwise=settings.elementwise,
                )
            )
            if settings.layer_norm != "none":
                norms.append(LayerNormalisation(channels, grid, learned=settings.layer_norm == "affine"))
        self.flows = nn.ModuleList(flows)
        self.norms = nn.ModuleList(norms)

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "flow",
            {"normal": 1.0},
            [Step((self.flows, self.norms), self.loss, name="flow")],
            validate="steps",
            frozen=self.normalised.maps,
            prepare=self.normalised.prepare,
        )

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        """-log p of each level."""
        batch = batches["normal"]
        noise = generator if self.training else None
        terms = {}
        for level, (z, log_density) in enumerate(self._flowed(batch, noise)):
            valid = self.normalised.maps.valid(batch.valid, level)
            value = mean_over(-log_density, valid)
            if self.settings.flow_loss == "nats":
                positions = log_density[0].numel() if valid is None else valid.flatten(1).sum(dim=1)
                value = value * positions
            else:
                value = value / z.shape[1]
            terms[f"level_{level + 1}"] = value.mean()
        return terms

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        shown = []
        for level, (z, log_density) in enumerate(self._flowed(batch, None)):
            half = 0.5 * z.square().mean(dim=1, keepdim=True)
            match self.settings.form:
                case "exp":
                    values = -torch.exp(-half)
                case "square":
                    values = half
                case "density":
                    values = -log_density / z.shape[1]
            shown.append((level, values))
        anomaly_map = self.normalised.maps.mean(shown, smoothing=self.settings.smoothing, valid=batch.valid)
        value = self.settings.pooled(anomaly_map, batch.valid)
        return self.one_part(value, anomaly_map if maps else None)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = FastFlowSettings(
            encoder=EncoderSettings(name="squeezenet1_1", weights="random"),
            strides=(4, 8),
            features=NormalisationSettings(standardise="channel", projection=8, noise=0.1),
            steps=2,
            form="density",
            image_score="top",
            flow_loss="per_dimension",
        )
        size = (32, 32) if rank == 2 else (8, 32, 32)
        return Tiny(settings, 1, size, {"flow": StageSettings(steps=4, batch_size=4)})

    def _flowed(self, batch: Batch, generator: torch.Generator | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each level z `[N, K, *grid]` and log p by position `[N, 1, *grid]`, nats. With a generator, of
        features with noise."""
        levels = self.normalised(batch, generator)
        for level, (n, flow) in enumerate(zip(levels, self.flows, strict=True)):
            assert isinstance(flow, Flow)
            log_scale: Tensor | float = 0.0
            if len(self.norms):
                n, log_scale = self.norms[level](n, self.normalised.maps.valid(batch.valid, level))
            z, log_determinant = flow.transform(n)
            yield z, flow.latent.log_density_map(z) + log_determinant + log_scale


class LayerNormalisation(nn.Module):
    """Maps `[N, C, *grid]` to mean 0 and variance 1 over channels and valid positions of each image; where it
    is `learned`, times a scale and plus an offset of each channel and position.

    Also gives log |scale| summed over channels, `[1, 1, *grid]` (0 where nothing is learned), which belongs
    to the log-determinant.
    """

    def __init__(self, channels: int, grid: Sequence[int], *, learned: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, *grid)) if learned else None
        self.offset = nn.Parameter(torch.zeros(channels, *grid)) if learned else None

    def forward(self, h: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        h = h.float()
        one = (-1, *(1 for _ in h.shape[1:]))
        h = h - mean_over(h, valid).view(one)
        h = h * torch.rsqrt(mean_over(h.square(), valid) + TINY).view(one)
        if self.scale is None or self.offset is None:
            return h, h.new_zeros(())
        log_scale = self.scale.abs().clamp_min(torch.finfo(torch.float32).tiny).log()
        return self.offset + h * self.scale, log_scale.sum(dim=0, keepdim=True)[None]
