"""What detectors by reconstruction error share: network sizes, range of images, one stage, the score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from secondread.detectors.blocks.valid_positions import mean_over
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Step, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.errors import UserError
from secondread.networks.precision import full_precision
from secondread.networks.reconstruction import Autoencoder
from secondread.settings.base import Settings, Width


class NetworkSettings(Settings):
    """See `networks.reconstruction.Autoencoder`; the defaults are DDAD's, with hidden 1024 MedIAnomaly's."""

    width: Width = 16
    hidden: Width = 2048
    latent: Width = 16


Sign = Literal["both", "positive", "negative"]
Residual = Annotated[
    Sign,
    Field(
        description="what counts as error at scoring: positive = where the image is brighter than its "
        "reconstruction, negative = where it is darker"
    ),
]
"""The setting `residual` of a detector."""


class ReconstructionSettings(DetectorSettings):
    network: NetworkSettings = NetworkSettings()
    residual: Residual = "both"


class ReconstructionDetector(Detector):
    """An autoencoder of normals, whose error is the map and the mean of the map the score.

    Images `[N, C, *size]` in [0, 1] become x = 2 image - 1, clipped to [-1, 1]; size is a multiple of 16.
    A subclass says with `build_network`, `terms`, `mean`, `variance` and `error` what its network is, what it
    learns by, and what counts as error; they are class methods on the settings, so that ensembles of such
    networks (`detectors.ddad`) use the same.

    With `residual: positive` x is raised at scoring to its reconstruction wherever it is below it
    (`one_sided`), so that no error is left there; with `negative` it is lowered to it where it is above. The
    loss has both sides.

    Stage `reconstruction` on normals. Part and map: `reconstruction`; padding is left out of the loss and
    of the part. The network runs in float32 at scoring.

    Source of the shared network: Y. Cai, W. Zhang, H. Chen, K.-T. Cheng, MedIAnomaly: a comparative study of
    anomaly detection in medical images, Medical Image Analysis 2025.
    """

    Settings: ClassVar[type[DetectorSettings]] = ReconstructionSettings
    settings: Any
    ranks = frozenset({2, 3})
    part = "reconstruction"
    gives_map = True

    def build(self, *, pretrained: bool) -> None:
        self.network = self.build_network(self.settings, self.channels, self.size)

    @classmethod
    def build_network(cls, settings: Any, channels: int, size: tuple[int, ...]) -> nn.Module:
        """The network: images `[N, C, *size]` in [-1, 1] to the output that the other methods take."""
        network: NetworkSettings = settings.network
        return Autoencoder(len(size), channels, channels, size, **network.model_dump())

    @classmethod
    def terms(cls, settings: Any, output: Any, x: Tensor, valid: Tensor | None) -> dict[str, Tensor]:
        """The loss by name, each a mean over images of means over valid positions."""
        return {"reconstruction": mean_over(cls.error(settings, output, x), valid).mean()}

    @classmethod
    def mean(cls, output: Any) -> Tensor:
        """The image as the network has it, float32 `[N, C, *size]`."""
        return output.float()

    @classmethod
    def variance(cls, settings: Any, output: Any) -> Tensor | None:
        """The squared error that the network expects, in the shape of `mean`; None where it does not say."""
        return None

    @classmethod
    def error(cls, settings: Any, output: Any, x: Tensor) -> Tensor:
        """The error at each place, mean over channels: float32 `[N, 1, *size]`."""
        return (x - cls.mean(output)).square().mean(dim=1, keepdim=True)

    @classmethod
    def image_error(cls, settings: Any, output: Any, x: Tensor, valid: Tensor | None) -> Tensor:
        """The image's error `[N]`: that of its valid positions on average."""
        return mean_over(cls.error(settings, output, x), valid)

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "reconstruction",
            {"normal": 1.0},
            [Step((self.network,), self.loss, name="reconstruction")],
            validate="steps",
        )

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        refuse_one_image(self, len(batch))
        x = symmetric(batch.images)
        return self.terms(self.settings, self.network(x), x, batch.valid)

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        x = symmetric(batch.images)
        with full_precision(x):
            output = self.network(x)
        x = one_sided(x, self.mean(output), self.settings.residual)
        value = self.image_error(self.settings, output, x, batch.valid)
        return self.one_part(value, self.error(self.settings, output, x) if maps else None)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = cls.Settings(network=NetworkSettings(width=2, hidden=8, latent=4))  # type: ignore[call-arg]
        return Tiny(settings, 1, (16,) * rank, {"reconstruction": StageSettings(steps=4, batch_size=6)})


def symmetric(images: Tensor) -> Tensor:
    """Images in [0, 1] on [-1, 1], clipped, float32."""
    return (2 * images.float() - 1).clamp(-1, 1)


def picture(x: Tensor) -> Tensor:
    """Images in [-1, 1] on [0, 1], clipped, float32."""
    return ((x.float() + 1) / 2).clamp(0, 1)


def one_sided(x: Tensor, rebuilt: Tensor, sign: Sign) -> Tensor:
    """x as it is compared with its reconstruction: where the residual x - rebuilt has the other sign, x is
    rebuilt itself."""
    match sign:
        case "both":
            return x
        case "positive":
            return torch.maximum(x, rebuilt)
        case "negative":
            return torch.minimum(x, rebuilt)


def refuse_one_image(module: nn.Module, count: int) -> None:
    """UserError in train mode for a batch of one image, which has no batch statistics."""
    if module.training and count < 2:
        raise UserError(
            "batch normalisation needs at least two images in a training batch, and there is one; "
            "raise the stage's batch_size or give more images"
        )
