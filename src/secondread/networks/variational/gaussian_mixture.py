"""Networks of a variational autoencoder whose prior is a mixture of Gaussians, conditioned on a latent w."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from secondread.networks.by_rank import CONVOLUTION
from secondread.networks.reconstruction import Autoencoder

MIXED = 64
"""Units between w and the components."""


class MixturePrior(nn.Module):
    """w `[N, dims_w, *grid]` to means and log inverse variances of z in each of K components,
    each `[N, K, dims_z, *grid]`: two layers at each place, ReLU between."""

    def __init__(self, rank: int, dims_w: int, dims_z: int, components: int) -> None:
        super().__init__()
        layer = CONVOLUTION[rank]
        self.shape = (components, dims_z)
        self.hidden = nn.Sequential(layer(dims_w, MIXED, 1), nn.ReLU())
        self.mean = layer(MIXED, components * dims_z, 1)
        self.log_precision = layer(MIXED, components * dims_z, 1)

    def forward(self, w: Tensor) -> tuple[Tensor, Tensor]:
        h = self.hidden(w)
        mean, log_precision = (
            head(h).float().unflatten(1, self.shape) for head in (self.mean, self.log_precision)
        )
        return mean, log_precision


class SpatialMixtureNetwork(nn.Module):
    """z and w are maps at a quarter of the size along each axis.

    Encoder: six 3×3 convolutions of `width` with ReLU, the first and the fourth of stride 2, then a 1×1 one
    to mean and log-variance of w and z. Decoder: three 3×3 convolutions, each with ReLU, nearest doubling,
    twice, then two more without ReLU. Sizes are multiples of 4.

    Source: S. You et al., MIDL 2019, as in the code of Baur et al. (width 64, one channel of z and of w, six
    components); its transposed convolutions of stride 1 are convolutions here, which is the same family.
    """

    def __init__(
        self, rank: int, channels: int, size: Sequence[int], *,
        width: int, dims_z: int, dims_w: int, components: int, dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        if len(size) != rank or any(length % 4 or not length for length in size):
            raise ValueError(
                f"the spatial mixture autoencoder takes sizes that are multiples of 4 along {rank} axes, not "
                f"{tuple(size)}"
            )
        layer = CONVOLUTION[rank]
        self.dims = (dims_z, dims_w)
        self.grid = tuple(length // 4 for length in size)
        down: list[nn.Module] = []
        before = channels
        for stride in (2, 1, 1, 2, 1, 1):
            down += [layer(before, width, 3, stride=stride, padding=1), nn.ReLU()]
            before = width
        self.encoder = nn.Sequential(*down, nn.Dropout(dropout))
        self.heads = layer(width, 2 * (dims_z + dims_w), 1)
        self.prior = MixturePrior(rank, dims_w, dims_z, components)
        up: list[nn.Module] = []
        before = dims_z
        for _ in range(2):
            for _ in range(3):
                up += [layer(before, width, 3, padding=1), nn.ReLU()]
                before = width
            up.append(nn.Upsample(scale_factor=2, mode="nearest"))
        up += [layer(width, width, 3, padding=1), layer(width, channels, 3, padding=1)]
        self.decoder = nn.Sequential(*up)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean and log-variance of z `[N, dims_z, *grid]` and of w `[N, dims_w, *grid]`, float32."""
        z, w = self.dims
        found = self.heads(self.encoder(x)).float().split((z, z, w, w), dim=1)
        return found[0], found[1], found[2], found[3]

    def decode(self, z: Tensor) -> Tensor:
        image: Tensor = self.decoder(z)
        return image


class DenseMixtureNetwork(Autoencoder):
    """z and w are vectors, as maps of one place: `[N, dims, 1, …]`. See `Autoencoder` for the layers; the
    last of the encoder gives mean and log-variance of z and of w."""

    def __init__(
        self, rank: int, channels: int, size: Sequence[int], *,
        width: int, hidden: int, dims_z: int, dims_w: int, components: int, dropout: float,
    ) -> None:  # fmt: skip
        super().__init__(rank, channels, channels, size, width=width, hidden=hidden, latent=dims_z)
        self.dims = (dims_z, dims_w)
        self.grid = (1,) * rank
        self.to_latent = nn.Sequential(
            *list(self.to_latent)[:-1],  # type: ignore[call-overload]
            nn.Dropout(dropout),
            nn.Linear(hidden, 2 * (dims_z + dims_w)),
        )
        self.prior = MixturePrior(rank, dims_w, dims_z, components)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # type: ignore[override]
        z, w = self.dims
        found = self.to_latent(self.encoder(x).flatten(1)).float().unflatten(1, (-1, *self.grid))
        parts = found.split((z, z, w, w), dim=1)
        return parts[0], parts[1], parts[2], parts[3]

    def decode(self, z: Tensor) -> Tensor:
        return super().decode(z.flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x)[0])


def start_at(network: nn.Module, log_precision: float) -> None:
    """Every component's log inverse variance begins there."""
    for module in network.modules():
        if isinstance(module, MixturePrior):
            torch.nn.init.constant_(module.log_precision.bias, log_precision)  # type: ignore[arg-type]
