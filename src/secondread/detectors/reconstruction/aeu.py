"""AE-U: an autoencoder that says how large an error it expects at each pixel."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from secondread.detectors.blocks.reconstruction import ReconstructionDetector, ReconstructionSettings
from secondread.detectors.blocks.valid_positions import mean_over
from secondread.networks.reconstruction import Autoencoder


class AEUSettings(ReconstructionSettings):
    name: Literal["aeu"] = "aeu"
    clamp: tuple[float, float] | None = None
    """Bounds of the log-variance, such as [-10, 10]. None, as published: where all normals are alike (black
    air) it falls without bound, and one pixel that differs there outweighs the image."""


class AEU(ReconstructionDetector):
    """error = exp(-v) (x - m)^2, with the mean m and the log-variance v of each pixel from one decoder.

        loss = mean of exp(-v) (x - m)^2 + v

    See `ReconstructionDetector` for network, stage, part and map.

    Source: Y. Mao, F.-F. Xue, R. Wang, J. Zhang, W.-S. Zheng, H. Liu, Abnormality detection in chest X-ray
    images using uncertainty prediction autoencoders, MICCAI 2020.
    """

    Settings = AEUSettings

    @classmethod
    def build_network(cls, settings: AEUSettings, channels: int, size: tuple[int, ...]) -> nn.Module:
        return Autoencoder(len(size), channels, 2 * channels, size, **settings.network.model_dump())

    @classmethod
    def terms(cls, settings: AEUSettings, output: Any, x: Tensor, valid: Tensor | None) -> dict[str, Tensor]:
        return {
            "reconstruction": mean_over(cls.error(settings, output, x), valid).mean(),
            "log_variance": mean_over(cls.log_variance(settings, output), valid).mean(),
        }

    @classmethod
    def mean(cls, output: Any) -> Tensor:
        return _half(output, 0)

    @classmethod
    def log_variance(cls, settings: AEUSettings, output: Any) -> Tensor:
        """v, float32, in the shape of `mean`."""
        log_variance = _half(output, 1)
        return log_variance if settings.clamp is None else log_variance.clamp(*settings.clamp)

    @classmethod
    def variance(cls, settings: AEUSettings, output: Any) -> Tensor:
        return cls.log_variance(settings, output).exp()

    @classmethod
    def error(cls, settings: AEUSettings, output: Any, x: Tensor) -> Tensor:
        weight = (-cls.log_variance(settings, output)).exp()
        return (weight * (x - cls.mean(output)).square()).mean(dim=1, keepdim=True)


def _half(output: Tensor, number: int) -> Tensor:
    """The first or second half of the channels, float32."""
    return output.chunk(2, dim=1)[number].float()
