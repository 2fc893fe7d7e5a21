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

    >>> import secondread, torch
    >>> class Noise:
    ...     def sample(self, n, generator, *, temperature=1.0):
    ...         return temperature * torch.randn(n, 1, 8, 8, generator=generator)
    ...     def interpolate(self, first, second, steps):
    ...         return torch.lerp(first, second, torch.linspace(0, 1, steps).view(-1, 1, 1, 1))
    >>> isinstance(Noise(), secondread.Generative)
    True
    """

    def sample(self, n: int, generator: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        """Fictional images `[n, C, *size]`; `temperature` multiplies the latent's standard deviation."""
        ...

    def interpolate(self, first: Tensor, second: Tensor, steps: int) -> Tensor:
        """`[steps, C, *size]` along the line between the latents of two images `[C, *size]`; its ends are
        their reconstructions."""
        ...
