"""Images drawn from a standard normal latent, and along the line between two images' latents; and what a
generator tells of its collapse."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from secondread.detectors.blocks.adversarial.collapse import CollapseSigns
from secondread.detectors.blocks.reconstruction import picture, symmetric
from secondread.networks.precision import full_precision


class LatentImages:
    """What a detector has whose generator takes z ~ N(0, I): `contract.Generative`, and its warnings."""

    latent_shape: tuple[int, ...]
    """Of one image's z."""
    signs: CollapseSigns
    generator: nn.Module

    def generated(self, z: Tensor) -> Tensor:
        """`[N, *latent_shape]` to images `[N, C, *size]` in [-1, 1]: what its `generator` makes of them."""
        images: Tensor = self.generator(z)
        return images

    @abstractmethod
    def latents(self, x: Tensor) -> Tensor:
        """The z of images `[N, C, *size]` in [-1, 1]."""

    def warnings(self) -> tuple[str, ...]:
        """What its signs of collapse say (`Detector.warnings`)."""
        return self.signs.warnings()

    @property
    def place(self) -> Tensor:
        """A tensor on the detector's device."""
        return self.signs.found

    def drawn(self, n: int, generator: torch.Generator) -> Tensor:
        """`n` draws of z from the prior; always the generator's, wherever the detector lies."""
        return torch.randn(n, *self.latent_shape, generator=generator).to(self.place.device)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        """Fictional images `[n, C, *size]` in [0, 1] (`contract.Generative`)."""
        with full_precision(self.place):
            return picture(self.generated(temperature * self.drawn(n, generator)))

    @torch.no_grad()
    def interpolate(self, first: Tensor, second: Tensor, steps: int) -> Tensor:
        """`[steps, C, *size]` along the line between the latents of two images `[C, *size]`."""
        x = symmetric(torch.stack((first, second)).to(self.place.device))
        with full_precision(x):
            z = self.latents(x)
            along = torch.linspace(0, 1, steps, device=x.device).view(-1, *[1] * (z.dim() - 1))
            return picture(self.generated(z[:1].lerp(z[1:], along)))
