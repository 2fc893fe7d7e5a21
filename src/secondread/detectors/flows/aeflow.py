"""AE-FLOW: an autoencoder whose code passes a normalizing flow (Zhao, Ding, Zhang, ICLR 2023)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from secondread.detectors.blocks.encoder_settings import (
    AnyEncoderSettings,
    build_encoder,
    encoder_kind,
    encoder_ranks,
)
from secondread.detectors.blocks.feature_flow import FlowSettings, NormalisationSettings
from secondread.detectors.blocks.valid_positions import highest_over, mean_over, placed, valid_on
from secondread.detectors.contract import (
    Batch,
    Batches,
    Detector,
    Mixture,
    Part,
    Scores,
    ScoringNoise,
    Stage,
    Step,
    Tiny,
)
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.networks.by_rank import channel_mean
from secondread.networks.decoder import Decoder
from secondread.networks.encoder import EncoderSettings, chosen_channels, map_places
from secondread.networks.precision import full_precision
from secondread.networks.structural_similarity import structural_similarity
from secondread.settings.base import Settings, Width


class FeatureSettings(NormalisationSettings):
    """Which features, and what they pass before the flow; all off in the paper, whose encoder gives features
    of the order of one."""

    layers: tuple[str, ...] | None = Field(
        None, description="several layers, on the grid of the last; empty = encoder.layer alone"
    )
    channels: Width | None = Field(None, description="random channels of them kept; empty = all")


class DecoderSettings(Settings):
    form: Literal["paper", "student"] = Field("paper", description="student: tanh everywhere (ablation)")
    hidden: tuple[Width, ...] = Field(
        (512, 256, 64), max_length=16, description="widths between map and image"
    )


class AEFlowSettings(DetectorSettings):
    """The defaults are the paper's, with the flow term of the loss per dimension."""

    name: Literal["aeflow"] = "aeflow"
    encoder: AnyEncoderSettings = EncoderSettings()
    features: FeatureSettings = FeatureSettings()
    flow: FlowSettings = FlowSettings()
    decoder: DecoderSettings = DecoderSettings()
    alpha: float = Field(0.5, ge=0, le=1, description="weight of the flow in the loss")
    flow_loss: Literal["nats", "per_dimension", "bits_per_dimension"] = "per_dimension"
    beta: float = Field(0.9, ge=0, le=1, description="weight of the likelihood in the score")
    likelihood: Literal["nats", "per_dimension", "exp_per_dimension"] = "per_dimension"
    pool: Literal["mean", "top", "max"] = Field("mean", description="of the likelihood over positions")
    top_share: float = Field(0.1, gt=0, le=1, description="the share of positions that `top` averages")
    two_tailed: tuple[Literal["likelihood", "reconstruction", "latent", "log_determinant"], ...] = ()
    peak_share: float = Field(
        0.005, gt=0, le=1, description="the share of pixels that `residual_peak` averages"
    )
    extra_parts: tuple[Literal["latent", "log_determinant", "residual", "residual_peak"], ...] = Field(
        (), description="reported, and mixed only where calibration.part_weights names them"
    )
    scaled: bool = Field(True, description="standardise the parts on validation normals before mixing")
    map: Literal["residual", "likelihood", "both"] = "residual"
    residual_weight: float = Field(0.5, ge=0, le=1, description="of the residual in the map `both`")

    @model_validator(mode="after")
    def _consistent(self) -> AEFlowSettings:
        if self.likelihood == "nats" and self.pool != "mean":
            raise ValueError("likelihood `nats` is the sum over all positions; pool must be mean")
        f = self.features
        whole = self.encoder.code + self.encoder.linear
        if self.encoder.name == "conv" and (f.channels or f.layers or f.projection not in (None, whole)):
            raise ValueError(
                f"a conv encoder keeps its whole code: no channels or layers, and a projection of {whole}"
            )
        return self


class AEFlow(Detector):
    """An encoder's map h goes through a normalizing flow to z', from which a decoder rebuilds the image.

        h = encoder(x),  z' = f(n(h)),  x' = decoder(z')
        log p = log N(z'; 0, I) + log |det dz'/dn|
        loss  = alpha * (-log p) / D + (1 - alpha) * mean (x' - x)^2
        score = beta * S_flow + (1 - beta) * S_recon,   S_recon = -SSIM(x, x')
        S_flow = -log p / D,  or -log p,  or -exp(log p / D)

    n is the feature normalisation (the identity in the paper; `networks.feature_normalisation`, by default
    one constant that brings the normals' features to a mean square of one; with random channels of one or
    several layers drawn from torch's global generator at construction), D the number of channels times valid
    positions. The decoder sees z', not the flow's inverse. Reconstruction lives in the range of tanh: its
    target is 2x - 1, clipped to [-1, 1], with as many channels as the images have (the paper copies grey to
    three); SSIM is taken on [0, 1] with an 11×11 window.

    Encoders: ImageNet ones (frozen, eval mode, stride 16; volumes slice by slice), with stage `flow` alone;
    or `conv`, with a stage `autoencoder` (encoder and decoder, squared error) before it.

    Parts: `likelihood` and `reconstruction`; on demand `latent` (mean of z'^2), `log_determinant`
    (-log|det| / D), `residual` (mean |x' - x|), `residual_peak` (its mean over the highest pixels, for small
    lesions). Padding is left out of each. Maps: `residual`, |x' - x|
    as in the paper, and `likelihood`, -log p per position and channel, each at the centre of its receptive
    field (`networks.cells`).

    Source: Y. Zhao, Q. Ding, X. Zhang, AE-FLOW: Autoencoders with normalizing flows for medical images
    anomaly detection, ICLR 2023.
    """

    Settings = AEFlowSettings
    settings: AEFlowSettings
    ranks = frozenset({2, 3})

    def build(self, *, pretrained: bool) -> None:
        settings, channels = self.settings, self.channels
        self.ranks = encoder_ranks(settings.encoder)
        self.refuse_other_ranks()
        rank = len(self.size)
        self.encoder = build_encoder(
            settings.encoder, rank, channels, pretrained=pretrained, layers=settings.features.layers
        )
        sizes, self.cells = map_places(self.encoder, channels, self.size)
        self.map_size = sizes[-1]
        total = sum(self.encoder.channels)
        kept = min(settings.features.channels or total, total)
        self.chosen: Tensor
        self.register_buffer("chosen", torch.randperm(total)[:kept].sort().values)
        self.normalisation = settings.features.build(kept, self.map_size)
        self.flow = settings.flow.build(rank, self.normalisation.channels, self.map_size)
        self.decoder = Decoder(
            rank,
            self.normalisation.channels,
            settings.decoder.hidden,
            channels,
            self.size,
            tanh_everywhere=settings.decoder.form == "student",
        )

    def stages(self) -> Iterator[Stage]:
        on = {"normal": 1.0}
        if encoder_kind(self.settings.encoder).learns:
            yield Stage(
                "autoencoder",
                on,
                [Step((self.encoder, self.decoder), self.autoencoder_loss, name="autoencoder")],
                validate="steps",
                score=self.autoencoder_error,
            )
        yield Stage(
            "flow",
            on,
            [Step((self.flow, self.decoder), self.loss, name="flow")],
            validate="steps",
            frozen=self.frozen,
            prepare=self.prepare if self.normalisation.needs_fit else None,
            start=self.start,
            drifts=(self.encoder,) if self.settings.encoder.batch_norm == "train" else (),
        )

    @property
    def frozen(self) -> Callable[[Tensor], tuple[Tensor, ...]] | None:
        """`encode`, unless the encoder's statistics drift in training."""
        return None if self.settings.encoder.batch_norm == "train" else self.encode

    @torch.no_grad()
    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """h, `[N, C, *map_size]`: what the stage `flow` does not train. In float32 always: rounding within
        the encoder moves the least likely position's likelihood by 10 to 20 % of its deviation over normals.
        """
        with full_precision(images):
            maps = self.encoder(images.float())
        if len(maps) == 1 and len(self.chosen) == maps[0].shape[1]:
            return maps
        return (chosen_channels(maps, self.chosen, self.cells, self.cells[-1], self.map_size),)

    def prepare(self, batches: Iterator[Batches], generator: torch.Generator) -> None:
        """Fit the feature normalisation to the normals."""
        self.normalisation.fit(
            ((self._features(b["normal"]), valid_on(b["normal"].valid, self.map_size)) for b in batches),
            generator,
        )

    def start(self, batches: Batches) -> dict[str, float]:
        """Bits per dimension of the untrained flow, and of the identity: of the normalised features under a
        standard normal distribution. Near each other where training can begin. And the share of features
        that the splines, where there are any, leave as they are."""
        batch = batches["normal"]
        h, positions = self.normalisation(self._features(batch)), valid_on(batch.valid, self.map_size)
        _, _, untrained = self._flow(batch)
        identity = -self.flow.latent.log_density_map(h)

        def bits(nats: Tensor) -> float:
            return float(mean_over(nats, positions).mean()) / (h.shape[1] * math.log(2))

        found = {"bits/dim at the start": bits(untrained), "bits/dim of the identity": bits(identity)}
        if self.settings.flow.coupling == "spline":
            beyond = (h.abs() >= self.settings.flow.bound).float().mean(dim=1, keepdim=True)
            found["share beyond the splines"] = float(mean_over(beyond, positions).mean())
        return found

    def autoencoder_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        decoded = self.decoder(self.encoder(batch.images)[-1])
        return {"reconstruction": self._squared_error(decoded, batch)}

    def autoencoder_error(self, batch: Batch, noise: ScoringNoise) -> Tensor:
        """Mean squared error of each image, `[N]`, before there is a flow."""
        decoded = self.decoder(self.encoder(batch.images)[-1])
        return mean_over((decoded - self._target(batch)).square(), batch.valid)

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        z, _, negative_log_density = self._flow(batch, generator if self.training else None)
        positions = valid_on(batch.valid, self.map_size)
        each, unit = mean_over(negative_log_density, positions), 1.0
        if self.settings.flow_loss == "nats":
            unit = z[0].numel()
            each = each * (self._positions(z, positions) / z[0, 0].numel())
        elif self.settings.flow_loss == "bits_per_dimension":
            unit = 1 / math.log(2)
        return {
            "flow": self.settings.alpha * unit * (each.mean() / z.shape[1]),
            "reconstruction": (1 - self.settings.alpha) * self._squared_error(self.decoder(z), batch),
        }

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        z, log_determinant, negative_log_density = self._flow(batch)
        per_channel = negative_log_density / z.shape[1]
        return self.scores_of(batch, z, log_determinant, per_channel, maps=maps)

    def scores_of(
        self, batch: Batch, z: Tensor, log_determinant: Tensor, per_channel: Tensor, *, maps: bool
    ) -> Scores:
        """From the latent map `[N, K, *S]`, its log-determinant and -log p / K per position `[N, 1, *S]`."""
        decoded = self.decoder(z)
        positions = valid_on(batch.valid, self.map_size)
        rebuilt, image = decoded.mul(0.5).add_(0.5), batch.images.float().clamp(0, 1)
        residual = channel_mean((rebuilt - image).abs_())
        similarity = structural_similarity(rebuilt, image, batch.valid)
        values = {
            "likelihood": self._likelihood(per_channel, positions, z.shape[1]),
            "reconstruction": -similarity,
        }
        if "latent" in self.settings.extra_parts:
            values["latent"] = mean_over(z.square(), positions)
        if "log_determinant" in self.settings.extra_parts:
            values["log_determinant"] = -mean_over(log_determinant, positions) / z.shape[1]
        if "residual" in self.settings.extra_parts:
            values["residual"] = mean_over(residual, batch.valid)
        if "residual_peak" in self.settings.extra_parts:
            values["residual_peak"] = highest_over(residual, batch.valid, self.settings.peak_share)
        shown = {}
        if maps and self.settings.map != "likelihood":
            shown["residual"] = residual
        if maps and self.settings.map != "residual":
            shown["likelihood"] = placed(per_channel, positions, self.cells[-1], self.size)
        return Scores(
            {
                name: Part(v, "two" if name in self.settings.two_tailed else "upper")
                for name, v in values.items()
            },
            shown,
        )

    def mixture(self) -> Mixture:
        beta = self.settings.beta
        return Mixture({"likelihood": beta, "reconstruction": 1 - beta}, scaled=self.settings.scaled)

    def map_mixture(self) -> Mixture:
        if self.settings.map == "both":
            weight = self.settings.residual_weight
            return Mixture({"residual": weight, "likelihood": 1 - weight}, scaled=True)
        return Mixture({self.settings.map: 1.0}, scaled=False)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        flow = FlowSettings(blocks=2, hidden=16)
        if rank == 2:
            settings = AEFlowSettings(
                encoder=EncoderSettings(name="squeezenet1_1", weights="random", layer="features.7"),
                features=FeatureSettings(standardise="channel", projection=16),
                flow=flow,
                decoder=DecoderSettings(hidden=(16, 8)),
                map="both",
            )
            return Tiny(settings, 1, (32, 32), {"flow": StageSettings(steps=4, batch_size=4)})
        settings = AEFlowSettings(
            encoder=EncoderSettings(name="conv", width=8, widest=16, code=8, stride=4),
            flow=flow.model_copy(update={"positions": True}),
            decoder=DecoderSettings(hidden=(8,)),
            map="both",
        )
        stage = StageSettings(steps=3, batch_size=6)
        return Tiny(settings, 1, (16,) * rank, {"autoencoder": stage, "flow": stage})

    def _features(self, batch: Batch) -> Tensor:
        return (batch.features or self.encode(batch.images))[0]

    def _flow(self, batch: Batch, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """See `_flow_of`."""
        return self._flow_of(self._features(batch), generator)

    def _flow_of(self, h: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor, Tensor]:
        """From features: z' `[N, K, *map_size]`; log-determinant and -log p (standard normal latent) per
        position, `[N, 1, *map_size]`, nats. With a generator, noise is added to the normalised features."""
        h = self.settings.features.noisy(self.normalisation(h), generator)
        z, log_determinant = self.flow.transform(h)
        return z, log_determinant, -(self.flow.latent.log_density_map(z) + log_determinant)

    def _likelihood(self, per_channel: Tensor, positions: Tensor | None, channels: int) -> Tensor:
        form, pool = self.settings.likelihood, self.settings.pool
        if pool == "mean":
            value = mean_over(per_channel, positions)
        else:
            value = highest_over(per_channel, positions, self.settings.top_share if pool == "top" else 0.0)
        if form == "exp_per_dimension":
            return -torch.exp(-value)
        if form == "nats":
            count = per_channel[0].numel() if positions is None else positions.flatten(1).sum(dim=1)
            return value * channels * count
        return value

    def _positions(self, z: Tensor, valid: Tensor | None) -> Tensor:
        """How many positions count, `[N]`."""
        if valid is None:
            return z.new_full((len(z),), float(z[0, 0].numel()))
        return valid.flatten(1).sum(dim=1).clamp_min(1).to(z)

    def _target(self, batch: Batch) -> Tensor:
        return (2 * batch.images.float() - 1).clamp(-1, 1)

    def _squared_error(self, decoded: Tensor, batch: Batch) -> Tensor:
        return mean_over((decoded - self._target(batch)).square(), batch.valid).mean()
