"""Detectors in the shapes of published methods, as small as can be: the laws hold for these shapes too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Step, Tiny
from secondread.detectors.detector_settings import DetectorSettings, OptimiserSettings, StageSettings
from secondread.networks.moving_average import MovingAverageCopy


class StubSettings(DetectorSettings):
    name: str = "stub"


class Stub(Detector):
    """One part and one map, both the error between two images of one size."""

    Settings = StubSettings
    part = "error"
    gives_map = True
    training_stages: ClassVar[dict[str, StageSettings]] = {}

    def error(self, batch: Batch, noise: ScoringNoise) -> Tensor:
        """`[N, 1, *size]`."""
        raise NotImplementedError

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        error = self.error(batch, noise).float()
        return self.one_part(error.flatten(1).mean(1), error if maps else None)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        return Tiny(StubSettings(), 1, (16, 16), cls.training_stages)


def stage(epochs: int = 2, **more: object) -> StageSettings:
    return StageSettings(epochs=epochs, batch_size=4, optimiser=OptimiserSettings(lr=1e-3), **more)


class GradientPenalty(Stub):
    """WGAN-GP, then an encoder for its frozen generator (as f-AnoGAN has it). Five steps of the critic to one
    of the generator, more than an epoch has batches; the penalty takes a gradient in the loss."""

    training_stages: ClassVar = {
        "game": stage(2, optimisers={"critic": OptimiserSettings(lr=2e-3, betas=(0.0, 0.9))}),
        "encoder": stage(2, keep="best"),
    }

    def build(self, *, pretrained: bool) -> None:
        pixels = 16 * 16
        self.critic = nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1, bias=False)
        )
        self.generator = nn.Sequential(
            nn.Linear(4, 16),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Linear(16, pixels),
            nn.Unflatten(1, (1, 16, 16)),
        )
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 4))

    def stages(self) -> Iterator[Stage]:
        critic = Step((self.critic,), self.critic_loss, repeats=5, name="critic")
        generator = Step((self.generator,), self.generator_loss, name="generator")
        yield Stage("game", {"normal": 1.0}, [critic, generator], validate=None)
        yield Stage("encoder", {"normal": 1.0}, [Step((self.encoder,), self.encoder_loss)], validate="steps")

    def fakes(self, n: int, generator: torch.Generator) -> Tensor:
        return self.generator(torch.randn(n, 4, generator=generator))

    def critic_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        real = batches["normal"].images
        fake = self.fakes(len(real), generator).detach()
        share = torch.rand(len(real), 1, 1, 1, generator=generator)
        between = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        return {"distance": self.critic(fake).mean() - self.critic(real).mean(), "penalty": 10 * penalty}

    def generator_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        return {"fool": -self.critic(self.fakes(len(batches["normal"]), generator)).mean()}

    def encoder_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        images = batches["normal"].images
        return {"residual": functional.mse_loss(self.generator(self.encoder(images)), images)}

    def error(self, batch: Batch, noise: ScoringNoise) -> Tensor:
        return (self.generator(self.encoder(batch.images)) - batch.images).square()


class MeanTeacher(Stub):
    """A student, and a teacher that is its moving average."""

    training_stages: ClassVar = {"student": stage(2)}

    def build(self, *, pretrained: bool) -> None:
        self.student = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))
        self.teacher = MovingAverageCopy(self.student)

    def stages(self) -> Iterator[Stage]:
        follow = Step((self.student,), self.loss, after=lambda: self.teacher.update(self.student, 0.9))
        yield Stage("student", {"normal": 1.0}, [follow], validate="steps", keeps=("teacher",))

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        images = batches["normal"].images
        noisy = images + 0.1 * torch.randn(images.shape, generator=generator)
        with torch.no_grad():
            target = self.teacher(images) + images
        return {"agreement": functional.mse_loss(self.student(noisy), target)}

    def error(self, batch: Batch, noise: ScoringNoise) -> Tensor:
        return (self.student(batch.images) - self.teacher(batch.images)).square()


class SpectralResidual(Stub):
    """A residual block of bounded slope, and a head that is trained on top of it when it is frozen."""

    training_stages: ClassVar = {"block": stage(2), "head": stage(2)}

    def build(self, *, pretrained: bool) -> None:
        self.block = nn.Sequential(
            spectral_norm(nn.Conv2d(1, 4, 3, padding=1)),
            nn.ELU(),
            spectral_norm(nn.Conv2d(4, 1, 3, padding=1)),
        )
        self.head = nn.Conv2d(1, 1, 1)

    def stages(self) -> Iterator[Stage]:
        yield Stage("block", {"normal": 1.0}, [Step((self.block,), self.block_loss)], validate="steps")
        yield Stage("head", {"normal": 1.0}, [Step((self.head,), self.head_loss)], validate="steps")

    def through(self, images: Tensor) -> Tensor:
        return images + 0.9 * self.block(images)

    def block_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        return {"energy": self.through(batches["normal"].images).square().mean()}

    def head_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        images = batches["normal"].images
        return {"residual": functional.mse_loss(self.head(self.through(images)), images)}

    def error(self, batch: Batch, noise: ScoringNoise) -> Tensor:
        return (self.head(self.through(batch.images)) - batch.images).square()


class SoftBoundary(Stub):
    """A bias-free network whose normals lie within a radius that is estimated anew after each epoch."""

    training_stages: ClassVar = {"boundary": stage(3)}

    def build(self, *, pretrained: bool) -> None:
        self.network = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.centre: Tensor
        self.radius: Tensor
        self.register_buffer("centre", torch.zeros(4))
        self.register_buffer("radius", torch.zeros(()))

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "boundary",
            {"normal": 1.0},
            [Step((self.network,), self.loss)],
            validate="steps",
            keeps=("radius",),
            prepare=self.find_centre,
            each_epoch=self.find_radius,
        )

    def distances(self, images: Tensor) -> Tensor:
        return (self.network(images) - self.centre[:, None, None]).square().sum(1, keepdim=True)

    def find_centre(self, batches: Iterator[Batches], generator: torch.Generator) -> None:
        means = [self.network(batch["normal"].images).mean((2, 3)) for batch in batches]
        self.centre.copy_(torch.cat(means).mean(0))

    def find_radius(self, epoch: int, batches: Iterator[Batches]) -> None:
        found = torch.cat([self.distances(batch["normal"].images).flatten(1).mean(1) for batch in batches])
        self.radius.copy_(found.quantile(0.9))

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        outside = (self.distances(batches["normal"].images).flatten(1).mean(1) - self.radius).relu()
        return {"boundary": self.radius + outside.mean() / 0.1}

    def error(self, batch: Batch, noise: ScoringNoise) -> Tensor:
        return self.distances(batch.images) - self.radius


class SearchedCode(Stub):
    """A generator, and at scoring a search for the code whose image is nearest (as AnoGAN has it)."""

    training_stages: ClassVar = {"generator": stage(2)}
    gradients_at_scoring = True
    costly_scoring = True

    def build(self, *, pretrained: bool) -> None:
        self.generator = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 256))

    def stages(self) -> Iterator[Stage]:
        yield Stage("generator", {"normal": 1.0}, [Step((self.generator,), self.loss)], validate=None)

    def rebuilt(self, code: Tensor) -> Tensor:
        return self.generator(code).view(-1, 1, 16, 16)

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        images = batches["normal"].images
        codes = torch.randn(len(images), 4, generator=generator)
        return {
            "nearest": torch.cdist(images.flatten(1), self.rebuilt(codes).flatten(1)).min(1).values.mean()
        }

    def error(self, batch: Batch, noise: ScoringNoise) -> Tensor:
        with torch.enable_grad():
            code = noise.normal((4,)).requires_grad_()
            for _ in range(3):
                misfit = (self.rebuilt(code) - batch.images).square().flatten(1).sum(1)
                (slope,) = torch.autograd.grad(misfit.sum(), code)
                code = (code - 0.01 * slope).detach().requires_grad_()
            return (self.rebuilt(code) - batch.images).square().detach()


class SeveralViews(Stub):
    """A network that agrees with itself on four views of each image, and a head that is trained on top of it
    (as self-distillation and contrastive methods have it)."""

    training_stages: ClassVar = {
        "views": stage(2, augment=("flip", "shift", "intensity")),
        "copies": stage(2, augment=("flip", "intensity"), copies=3),
    }

    def build(self, *, pretrained: bool) -> None:
        self.network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ELU())
        self.head = nn.Conv2d(4, 1, 1)

    def stages(self) -> Iterator[Stage]:
        yield Stage("views", {"normal": 1.0}, [Step((self.network,), self.agreement)], validate=None, views=4)
        yield Stage(
            "copies",
            {"normal": 1.0},
            [Step((self.head,), self.residual)],
            validate="steps",
            frozen=lambda images: (self.network(images),),
            views=3,
        )

    def agreement(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        assert len(batch.others) == 3
        codes = torch.stack([self.network(view.images).mean((2, 3)) for view in (batch, *batch.others)])
        return {"apart": codes.var(0).mean(), "alike": -codes.var(1).mean()}

    def residual(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        assert len(batch.others) == (2 if self.training else 0)
        errors = [
            functional.mse_loss(self.head(self.code(view)), view.images) for view in (batch, *batch.others)
        ]
        return {"residual": torch.stack(errors).mean()}

    def code(self, batch: Batch) -> Tensor:
        return self.network(batch.images) if batch.features is None else batch.features[0]

    def error(self, batch: Batch, noise: ScoringNoise) -> Tensor:
        return (self.head(self.network(batch.images)) - batch.images).square()


STUBS: dict[str, type[Stub]] = {
    "stub-gradient-penalty": GradientPenalty,
    "stub-mean-teacher": MeanTeacher,
    "stub-spectral-residual": SpectralResidual,
    "stub-soft-boundary": SoftBoundary,
    "stub-searched-code": SearchedCode,
    "stub-several-views": SeveralViews,
}
