"""What a density of whole images must offer, for the detectors that score by likelihoods."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ImageFlow(nn.Module):
    """An invertible function of images x `[N, channels, *size]`, and log p(x) by it, in nats.

    x is as `Dequantisation.noisy` makes it. Where log p is estimated with random numbers, `random_numbers`
    is their shape for one image, and u holds uniform ones, `[N, *random_numbers]`; the same u give the same
    estimate. A flow whose log p is exact has none.
    """

    random_numbers: tuple[int, ...] | None = None
    autocasts: bool = True
    """Whether its networks run in the precision of autocast."""
    dimensions: int
    """Numbers per image."""

    def initialise(self, x: Tensor) -> None:
        """Fit what depends on data to some images, without gradient."""
        raise NotImplementedError

    def log_density(self, x: Tensor, u: Tensor | None = None) -> Tensor:
        """log p(x), `[N]`, float64 sums."""
        raise NotImplementedError

    def log_density_map(self, x: Tensor, u: Tensor | None = None) -> Tensor:
        """log p(x) told apart by place, `[N, 1, *size]`, whose sum is `log_density`; without gradient."""
        raise NotImplementedError

    def latents(self, x: Tensor) -> list[Tensor]:
        """The latent variables of x, `[N, c, *S]` each."""
        raise NotImplementedError

    def inverse(self, latents: Sequence[Tensor]) -> Tensor:
        """The x that has these latent variables, without gradient."""
        raise NotImplementedError

    def sample(self, n: int, generator: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        """n drawn x; every standard deviation of the latent variables is multiplied by `temperature`."""
        raise NotImplementedError
