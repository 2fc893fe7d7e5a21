"""From pixels to a continuous density and back: levels, uniform noise, nats and bits per dimension."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Dequantisation:
    """Images in [0, 1] as `2^bits` levels with uniform noise over each level's width.

        level = round(x * (2^bits - 1)),   y = (level + u) / 2^bits - 1/2,   u ~ U[0, 1)
        log P(level) >= E_u log p(y) - D log 2^bits

    So a uniform density on [-1/2, 1/2]^D costs `bits` bits per dimension. Values outside [0, 1] are
    clipped. Source: Kingma and Dhariwal, Glow, NeurIPS 2018; Theis et al., ICLR 2016.
    """

    bits: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 16:
            raise ValueError(f"bits must be from 1 to 16, not {self.bits}")

    @property
    def count(self) -> int:
        return 2**self.bits

    def levels(self, images: Tensor) -> Tensor:
        """The level of every pixel, as a float."""
        return (images * (self.count - 1)).round().clamp_(0, self.count - 1)

    def noisy(self, images: Tensor, noise: Tensor) -> Tensor:
        """y, for noise u of the images' shape in [0, 1)."""
        return (self.levels(images) + noise) / self.count - 0.5

    def images(self, y: Tensor) -> Tensor:
        """Images in [0, 1] from y: the level it lies in."""
        return ((y + 0.5) * self.count).floor().clamp(0, self.count - 1) / (self.count - 1)

    def log_probability(self, log_density: Tensor, dimensions: int) -> Tensor:
        """Nats of the levels from the log-density of y."""
        return log_density - dimensions * math.log(self.count)

    def bits_per_dimension(self, log_density: Tensor, dimensions: int) -> Tensor:
        """-log2 P(level) / D from the log-density of y in nats."""
        return -self.log_probability(log_density, dimensions) / (dimensions * math.log(2.0))
