"""The shared autoencoder with a mean and a log-variance for each latent number."""

from __future__ import annotations

from torch import Tensor

from secondread.networks.reconstruction import Autoencoder


class VariationalAutoencoder(Autoencoder):
    """See `Autoencoder`: its second linear layer gives twice as many numbers (Cai et al., MedIAnomaly)."""

    numbers_per_latent = 2

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """`[N, C, *size]` to mean and log-variance, each `[N, latent]` float32."""
        mean, log_variance = self.to_latent(self.encoder(x).flatten(1)).float().chunk(2, dim=1)
        return mean, log_variance

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x)[0])
