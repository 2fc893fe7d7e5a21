"""Whether a mixture's posterior is calibrated, in 2 and in 2,000 dimensions: a part of flowgmm_toys.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit
from torch import Tensor
from torch.nn import functional

from secondread.flows.flow import Flow
from secondread.flows.mixture import GaussianMixture, PooledMixture
from secondread.metrics.reliability import expected_calibration_error

Values = NDArray[np.float64]
Labels = NDArray[np.int64]
APART = 2.563  # of the classes, in standard deviations: Phi(APART / 2) = 0.9


def latent_of(flow: Flow) -> PooledMixture:
    assert isinstance(flow.latent, PooledMixture)
    return flow.latent


def losses(flow: Flow, x: Tensor, labelled: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean -log p(x) of all, and the cross-entropy of the posterior of the labelled, `x[labelled]`."""
    z, log_determinant = flow(x)
    unlabelled = -(flow.latent.log_density(z) + log_determinant).mean()
    return unlabelled, functional.nll_loss(latent_of(flow).log_posterior(z[labelled]), labels)


def train(flow: Flow, steps: int, rate: float, loss: Callable[[], Tensor]) -> None:
    """Adam, one rate cycle; the mixture's own parameters go 10 times as fast (FlowGMM's `lr_gmm`)."""
    own = list(latent_of(flow).mixture.parameters())
    groups = [{"params": list(flow.blocks.parameters())}, *([{"params": own}] if own else [])]
    rates = [rate, 10 * rate][: len(groups)]
    optimiser = torch.optim.Adam(groups, lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps)
    for _ in range(steps):
        optimiser.zero_grad()
        loss().backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 100.0)
        optimiser.step()
        schedule.step()


@dataclass(frozen=True)
class Setting:
    """A latent and how much the labels weigh: the loss is -log p + label_weight * cross-entropy, in nats."""

    name: str
    means: Literal["random", "simplex"]
    label_weight: float = 1.0
    pooled: bool = False
    learn_means: bool = False
    drawn: bool = True


FLAT = (
    Setting("random, r = 1", "random"),
    Setting("simplex, 6 σ", "simplex"),
    Setting("simplex, learned", "simplex", learn_means=True),
)
MAPS = (
    Setting("random, r = 1", "random"),
    Setting("random, r = 1", "random", 2000.0, drawn=False),
    Setting("simplex, 6 σ", "simplex", drawn=False),
    Setting("simplex, 6 σ", "simplex", 2000.0),
    Setting("pooled, 6 σ", "simplex", pooled=True, drawn=False),
    Setting("pooled, 6 σ", "simplex", 2000.0, pooled=True),
    Setting("pooled, learned", "simplex", 2000.0, pooled=True, learn_means=True),
)


class Overlapping:
    """Draws x `[N, C, P]` of two classes, with their labels and the logit of the true posterior."""

    def __init__(self, channels: int, positions: int, generator: torch.Generator) -> None:
        self.shape = (channels, positions)
        self.generator = generator
        self.rotation = torch.linalg.qr(torch.randn(channels, channels, generator=generator))[0]

    def __call__(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        label = torch.rand(n, generator=self.generator) < 0.5
        x = torch.randn(n, *self.shape, generator=self.generator)
        x[:, 0] += ((label.float() - 0.5) * APART / math.sqrt(self.shape[1]))[:, None]
        logit = APART * x[:, 0].sum(dim=1) / math.sqrt(self.shape[1])
        return self.rotation @ x, label.long(), logit


@dataclass(frozen=True)
class Posterior:
    """Logits of class 1 on held-out and on validation draws, with the labels."""

    logit: Values
    positive: Labels
    validation_logit: Values
    validation_positive: Labels
    distance: float

    def figures(self) -> tuple[float, float, float, float]:
        """ECE, accuracy, share outside [0.01, 0.99], and ECE after one temperature."""
        p = expit(self.logit)
        sign = 2 * self.validation_positive - 1

        def cross_entropy(log_factor: float) -> float:
            return float(np.logaddexp(0, -sign * self.validation_logit * math.exp(log_factor)).mean())

        factor = math.exp(minimize_scalar(cross_entropy, bounds=(-10, 3), method="bounded").x)
        return (
            expected_calibration_error(p, self.positive),
            float(((self.logit > 0) == self.positive).mean()),
            float(((p < 0.01) | (p > 0.99)).mean()),
            expected_calibration_error(expit(factor * self.logit), self.positive),
        )


def fit_posterior(setting: Setting, channels: int, positions: int, seed: int) -> Posterior:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    draw = Overlapping(channels, positions, generator)
    values = channels * positions
    shape = (channels, positions) if setting.pooled else (values, 1)
    mixture = GaussianMixture(
        2,
        1 if setting.pooled else values,
        means=setting.means,
        separation=1.0 if setting.means == "random" else 6.0,
        learn_means=setting.learn_means,
        generator=generator,
    )
    latent = PooledMixture(shape[0], mixture)
    flow = Flow(1, shape[0], blocks=6 if values == 2 else 2, hidden=32, latent=latent, generator=generator)
    n = 128

    def loss() -> Tensor:
        x, labels, _ = draw(n)
        unlabelled, cross_entropy = losses(flow, x.view(n, *shape), torch.arange(n // 8), labels[: n // 8])
        return unlabelled + setting.label_weight * cross_entropy

    train(flow, 400, 5e-3 if setting.pooled or values == 2 else 3e-3, loss)

    def logits(count: int) -> tuple[Values, Labels]:
        x, labels, _ = draw(count)
        with torch.no_grad():
            log_posterior = latent.log_posterior(flow(x.view(count, *shape))[0]).double()
        return (log_posterior[:, 1] - log_posterior[:, 0]).numpy(), labels.numpy()

    distance = float(torch.pdist(mixture.means.detach()))
    return Posterior(*logits(8000), *logits(1000), distance)


def true_posterior(channels: int, positions: int, seed: int) -> Posterior:
    draw = Overlapping(channels, positions, torch.Generator().manual_seed(seed))
    both = []
    for count in (8000, 1000):
        _, labels, logit = draw(count)
        both += [logit.double().numpy(), labels.numpy()]
    return Posterior(*both, APART)


def run_calibration(
    settings: Sequence[Setting], channels: int, positions: int, seeds: Sequence[int]
) -> dict[str, Posterior]:
    """Print a table's rows; the posteriors of the first seed for the figure."""
    first = {}
    for setting in (None, *settings):
        if setting is None:
            name = "true posterior"
            found = [true_posterior(channels, positions, seed) for seed in seeds]
        else:
            name = f"{setting.name}; weight {setting.label_weight:,.0f}"
            found = [fit_posterior(setting, channels, positions, seed) for seed in seeds]
        rows = np.array([posterior.figures() for posterior in found])
        shown = " | ".join(
            f"{mean:.3f} ± {deviation:.3f}"
            for mean, deviation in zip(rows.mean(axis=0), rows.std(axis=0, ddof=1), strict=True)
        )
        distance = np.mean([posterior.distance for posterior in found])
        print(f"| {name} | {distance:.1f} | {shown} |", flush=True)
        if setting is None or setting.drawn:
            first[name] = found[0]
    return first
