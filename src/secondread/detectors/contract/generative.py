"""What a detector has besides, if it can draw images."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Generative(Protocol):
    """What a detector has besides, if it can draw images. `secondread sample` takes such detectors.

    All randomness is the generator's, one of the CPU, so that a seed draws the same on every device; what
    comes back lies on the detector's own device, float32, in preprocessed values.
    """

    def sample(self, n: int, generator: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        """Fictional images `[n, C, *size]`; `temperature` multiplies the latent's standard deviation."""
        ...

    def interpolate(self, first: Tensor, second: Tensor, steps: int) -> Tensor:
        """`[steps, C, *size]` along the line between the latents of two images `[C, *size]`; its ends are
        their reconstructions."""
        ...
