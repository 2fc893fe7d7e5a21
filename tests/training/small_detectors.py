"""Whole, small detectors that exercise one face of the loop each."""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

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
)
from secondread.detectors.detector_settings import DetectorSettings
from secondread.errors import UserError


class AutoencoderSettings(DetectorSettings):
    name: Literal["autoencoder"] = "autoencoder"
    width: int = 8
    dropout: float = 0.0
    noise: float = 0.0
    frozen_teacher: bool = False
    diverge: bool = False


class Autoencoder(Detector):
    """A linear autoencoder of the flattened image, or of a frozen teacher's features."""

    Settings = AutoencoderSettings
    ranks = frozenset({2, 3})

    def __init__(
        self, settings: AutoencoderSettings, channels: int, size: tuple[int, ...], *, pretrained: bool = True
    ):
        super().__init__(settings, channels, size, pretrained=pretrained)
        conv = nn.Conv2d if len(self.size) == 2 else nn.Conv3d
        self.teacher = conv(channels, channels, 3, padding=1)
        self.encoder = conv(channels, settings.width, 3, stride=2, padding=1)
        self.decoder = nn.Sequential(
            nn.Dropout(settings.dropout),
            nn.Upsample(scale_factor=2),
            conv(settings.width, channels, 3, padding=1),
        )
        self.register_buffer("mean", torch.zeros(channels, *self.size))
        self.register_buffer("seen", torch.zeros(()))
        self.losses_taken = 0
        self.after_step: Callable[[], None] | None = None

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.teacher(images),)

    def stages(self) -> Iterator[Stage]:
        yield Stage("mean", on={"normal": 1.0}, collect=self.collect, finish=self.finish)
        yield Stage(
            "train",
            on={"normal": 1.0},
            steps=[Step(trains=(self.encoder, self.decoder), loss=self.loss, after=self.after_step)],
            validate="steps",
            frozen=self.features if self.settings.frozen_teacher else None,
        )

    def collect(self, batches: Batches) -> None:
        self.mean += batches["normal"].images.float().sum(0)
        self.seen += len(batches["normal"])

    def finish(self) -> None:
        self.mean /= self.seen

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        self.losses_taken += 1
        batch = batches["normal"]
        target = batch.images - self.mean
        if self.settings.frozen_teacher:
            target = batch.features[0] if batch.features is not None else self.teacher(batch.images)
        images = target + self.settings.noise * torch.randn(target.shape, generator=generator).to(target)
        rebuilt = self.decoder(self.encoder(images))
        scale = float("nan") if self.settings.diverge else 1.0
        return {
            "mse": scale * functional.mse_loss(rebuilt.float(), target),
            "small": 1e-3 * rebuilt.float().square().mean(),
        }

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        target = self.teacher(batch.images) if self.settings.frozen_teacher else batch.images - self.mean
        residual = (self.decoder(self.encoder(target)) - target).abs().mean(1, keepdim=True)
        jitter = noise.normal((1,))[:, 0]
        parts = {"residual": Part(residual.flatten(1).mean(1)), "jitter": Part(jitter)}
        return Scores(parts, {"residual": residual} if maps else {})

    def mixture(self) -> Mixture:
        return Mixture({"residual": 1.0})


class Adversary(Detector):
    """Two steps that pull against each other: a critic twice per round, then a generator."""

    Settings = AutoencoderSettings

    def __init__(
        self, settings: AutoencoderSettings, channels: int, size: tuple[int, ...], *, pretrained: bool = True
    ):
        super().__init__(settings, channels, size, pretrained=pretrained)
        self.critic = nn.Linear(channels * size[0] * size[1], 1)
        self.generator = nn.Linear(4, channels * size[0] * size[1])
        self.calls: list[tuple[str, float]] = []
        self.critic_repeats = 2

    def stages(self) -> Iterator[Stage]:
        critic = Step((self.critic,), self.critic_loss, repeats=self.critic_repeats, name="critic")
        generator = Step((self.generator,), self.generator_loss, name="generator")
        yield Stage("game", on={"normal": 1.0}, steps=[critic, generator], validate=self.validate)

    def fakes(self, n: int, generator: torch.Generator) -> Tensor:
        return self.generator(torch.randn(n, 4, generator=generator))

    def critic_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        real = batches["normal"].images.flatten(1)
        self.calls.append(("critic", float(real.sum())))
        return {"gap": (self.critic(self.fakes(len(real), generator)) - self.critic(real)).mean()}

    def generator_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        self.calls.append(("generator", float(batches["normal"].images.sum())))
        if any(p.requires_grad for p in self.critic.parameters()):
            raise UserError("the critic must not be trained in the generator's step")
        return {"fool": -self.critic(self.fakes(len(batches["normal"]), generator)).mean()}

    def validate(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        return {
            "distance": (self.generator.bias - batches["normal"].images.flatten(1).mean(0)).square().mean()
        }


def build(
    settings: AutoencoderSettings, size: tuple[int, ...] = (8, 8), kind: type[Detector] = Autoencoder
) -> Detector:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return kind(settings, 1, size)
