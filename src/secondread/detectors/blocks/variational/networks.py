"""Which network a variational autoencoder has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Protocol

from pydantic import Field
from torch import Tensor, nn

from secondread.detectors.blocks.reconstruction import NetworkSettings
from secondread.networks.by_rank import batch_norms
from secondread.networks.variational.convolutional import ConvolutionalVAE
from secondread.networks.variational.linear import VariationalAutoencoder
from secondread.settings.base import Settings, Width


class LinearNetworkSettings(NetworkSettings):
    """See `networks.reconstruction.Autoencoder`."""

    kind: Literal["linear"] = "linear"
    hidden: Width = 1024

    def build(self, channels: int, size: Sequence[int]) -> VariationalAutoencoder:
        of_the_network = self.model_dump(exclude={"kind"})
        return VariationalAutoencoder(len(size), channels, channels, size, **of_the_network)


class ConvolutionalNetworkSettings(Settings):
    """See `networks.variational.convolutional`."""

    kind: Literal["convolutional"] = "convolutional"
    widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)] = (16, 64, 256, 1024)
    latent: Width = 256

    def build(self, channels: int, size: Sequence[int]) -> ConvolutionalVAE:
        return ConvolutionalVAE(len(size), channels, size, widths=self.widths, latent=self.latent)


VariationalNetworkSettings = Annotated[
    LinearNetworkSettings | ConvolutionalNetworkSettings, Field(discriminator="kind")
]


class EncodesAndDecodes(Protocol):
    """What a variational autoencoder's network does."""

    latent: int

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent variables."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """The image that they stand for."""
        ...


def has_batch_statistics(network: nn.Module) -> bool:
    """Whether one image alone cannot be a training batch."""
    return bool(batch_norms(network))
