"""What critic and generator are trained by: Wasserstein distance and gradient penalty, or cross-entropy."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from secondread.networks.precision import full_precision

Critic = Callable[[Tensor], Tensor]
"""From `[N, …]` to `[N]` or `[N, …]`, of which the mean over all but the first axis is the critic's value."""


def values_of(critic: Critic, x: Tensor) -> Tensor:
    """The critic's value of each of `[N, …]`, float32 `[N]`; of a critic of positions their mean."""
    return critic(x).float().reshape(len(x), -1).mean(dim=1)


def between(real: Tensor, fake: Tensor, generator: torch.Generator) -> Tensor:
    """A point on the line between each real one and the fake one beside it, drawn uniformly: `[N, …]`."""
    share = torch.rand(len(real), generator=generator).to(real)
    return torch.lerp(real, fake, share.view(-1, *[1] * (real.dim() - 1)))


def slopes(critic: Critic, x: Tensor, *, differentiable: bool = False) -> Tensor:
    """The norm of the gradient of the critic's value with regard to each of `[N, …]`, taken over all that
    belongs to it (its channels and pixels): `[N]`."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(values_of(critic, x).sum(), x, create_graph=differentiable)
    return gradient.flatten(1).norm(dim=1)


def wasserstein_critic(
    critic: Critic, real: Tensor, fake: Tensor, generator: torch.Generator, *, penalty: float = 10.0
) -> dict[str, Tensor]:
    """What the critic of WGAN-GP minimises:

        mean D(fake) - mean D(real) + penalty * mean over images of (|grad D(x between)| - 1)^2

    in float32. Negative of the first is the critic's estimate of the Wasserstein distance.

    Source: I. Gulrajani et al., Improved training of Wasserstein GANs, NIPS 2017.
    """
    real, fake = real.detach().float(), fake.detach().float()
    with full_precision(real):
        distance = values_of(critic, fake).mean() - values_of(critic, real).mean()
        steep = slopes(critic, between(real, fake, generator), differentiable=True)
        return {"distance": distance, "penalty": penalty * (steep - 1).square().mean()}


def wasserstein_generator(critic: Critic, fake: Tensor) -> dict[str, Tensor]:
    """What the generator of a WGAN minimises: -mean D(fake), in float32."""
    with full_precision(fake):
        return {"fool": -values_of(critic, fake.float()).mean()}


def told_real(logits: Tensor) -> Tensor:
    """Cross-entropy of logits that should say real: mean of -log sigmoid, float32."""
    return softplus(-logits.float()).mean()


def told_fake(logits: Tensor) -> Tensor:
    """Cross-entropy of logits that should say fake: mean of -log(1 - sigmoid), float32."""
    return softplus(logits.float()).mean()
