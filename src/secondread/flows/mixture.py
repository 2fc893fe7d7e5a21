"""A Gaussian mixture behind a flow, one component per class: FlowGMM's latent distribution.

P. Izmailov, P. Kirichenko, M. Finzi, A. G. Wilson: Semi-Supervised Learning with Normalizing Flows, ICML
2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from secondread.flows.latent import Latent, UnitGaussian, at_least_float


class GaussianMixture(nn.Module):
    """p(s) = sum_k pi_k N(s; mu_k, Sigma_k) in R^D. Component 0 is the normal class.

    Sigma_k is diagonal. Densities are in nats, in float64 for float64 input and in float32 otherwise.

    Args:
        components: K, the number of classes.
        dimensions: D.
        means: where the components lie.
            "simplex": mu_0 = 0, and all means at distance `separation` from each other, whatever D is
            (a regular simplex on the first K - 1 axes, so D >= K - 1). Posteriors do not saturate as D
            grows; a distance larger than the classes' own still makes them too sure (`learn_means`).
            "random": mu_k = separation * a standard normal vector, FlowGMM's own (with separation 1).
            Their distance grows like separation * sqrt(2 D), so in many dimensions each posterior
            is 0 or 1 and no longer says how sure the class is.
            A tensor `[K, D]`: these means.
        separation: in standard deviations of a component at the start; no use beside a tensor.
        learn_means: whether training moves them (FlowGMM's are fixed by default).
        covariance: "unit" is fixed at I. "isotropic" learns one standard deviation per component,
            "diagonal" one per component and dimension, "shared" one per dimension for all components, so
            that log odds are linear in s. They start at 1.
        learn_covariance: whether training moves a covariance that is not "unit".
        weights: pi at the start, positive, of sum 1; None = 1 / K each.
        learn_weights: whether training moves pi. A fixed pi changes by `set_weights` alone.
        concentration: of the Dirichlet prior of pi, K values > 0. For K = 2 it is the Beta prior of the
            share of normals: (a_normal, a_abnormal). None = flat.
        generator: draws random means; None = torch's global one.

    ValueError for values outside what is said here.
    """

    means: Tensor
    log_deviation: Tensor
    logits: Tensor

    def __init__(
        self,
        components: int,
        dimensions: int,
        *,
        means: Literal["simplex", "random"] | Tensor = "simplex",
        separation: float = 6.0,
        learn_means: bool = False,
        covariance: Literal["unit", "isotropic", "diagonal", "shared"] = "unit",
        learn_covariance: bool = True,
        weights: Sequence[float] | None = None,
        learn_weights: bool = True,
        concentration: Sequence[float] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if components < 1 or dimensions < 1:
            raise ValueError(f"a mixture needs components and dimensions, not {components} and {dimensions}")
        if covariance not in ("unit", "isotropic", "diagonal", "shared"):
            raise ValueError(f"covariance must be unit, isotropic, diagonal or shared, not {covariance}")
        self.components = components
        self.dimensions = dimensions
        self._place("means", _means(components, dimensions, means, separation, generator), learn_means)
        width = dimensions if covariance in ("diagonal", "shared") else 1
        height = 1 if covariance == "shared" else components
        learned = covariance != "unit" and learn_covariance
        self._place("log_deviation", torch.zeros(height, width), learned)
        given = [1 / components] * components if weights is None else weights
        self._place("logits", self._checked(given).log(), learn_weights)
        self.concentration = None if concentration is None else tuple(float(a) for a in concentration)
        if self.concentration is not None and (
            len(self.concentration) != components or min(self.concentration) <= 0
        ):
            raise ValueError(f"concentration must be {components} values > 0, not {self.concentration}")

    @property
    def log_weights(self) -> Tensor:
        """log pi, `[K]`."""
        return self.logits.log_softmax(dim=0)

    @property
    def deviation(self) -> Tensor:
        """sigma_k, `[K, D]`."""
        return self.log_deviation.exp().expand(self.components, self.dimensions)

    def set_weights(self, weights: Sequence[float]) -> None:
        """Put this pi in place, say a known anomaly rate; a learned pi goes on from it, a fixed one stays."""
        with torch.no_grad():
            self.logits.copy_(self._checked(weights).log())

    def class_log_density(self, s: Tensor) -> Tensor:
        """log N(s; mu_k, Sigma_k): `[N, D]` to `[N, K]`."""
        _, standardised, log_deviation = self._standardised(s)
        return (-0.5 * (standardised.square() + math.log(2 * math.pi)) - log_deviation).sum(dim=2)

    def class_log_ratio(self, s: Tensor) -> Tensor:
        """log N(s; mu_k, Sigma_k) - log N(s; 0, I): `[N, D]` to `[N, K]`.

        Terms cancel before they are summed, so that it is exact also where D is large.
        """
        s, standardised, log_deviation = self._standardised(s)
        return (0.5 * (s - standardised) * (s + standardised) - log_deviation).sum(dim=2)

    def log_density(self, s: Tensor) -> Tensor:
        """log p(s): `[N, D]` to `[N]`."""
        each = self.class_log_density(s)
        return torch.logsumexp(each + self.log_weights.to(each), dim=1)

    def log_posterior(self, s: Tensor) -> Tensor:
        """log p(k | s) = log pi_k + log N(s; mu_k, Sigma_k) - log p(s): `[N, D]` to `[N, K]`."""
        each = self.class_log_ratio(s)
        return (each + self.log_weights.to(each)).log_softmax(dim=1)

    def log_weight_prior(self) -> Tensor:
        """log Dirichlet(pi; concentration), the density with respect to pi, a scalar; 0 where it is flat."""
        if self.concentration is None:
            return self.logits.new_zeros(())
        alpha = self.logits.new_tensor(self.concentration)
        normaliser = torch.lgamma(alpha).sum() - torch.lgamma(alpha.sum())
        return ((alpha - 1) * self.log_weights).sum() - normaliser

    def sample(
        self,
        n: int,
        generator: torch.Generator,
        *,
        component: int | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """s `[n, D]` of one component, or of the mixture (None); `temperature` multiplies deviations."""
        if component is None:
            weights = self.log_weights.detach().exp().cpu()
            classes = torch.multinomial(weights, n, replacement=True, generator=generator)
        else:
            if not 0 <= component < self.components:
                raise ValueError(f"there is no component {component} of {self.components}")
            classes = torch.full((n,), component)
        noise = torch.randn(n, self.dimensions, generator=generator).to(self.means)
        classes = classes.to(self.means.device)
        return self.means[classes] + temperature * self.deviation[classes] * noise

    def _standardised(self, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """s `[N, 1, D]`, (s - mu_k) / sigma_k `[N, K, D]`, log sigma `[K, D]`."""
        if s.dim() != 2 or s.shape[1] != self.dimensions:
            raise ValueError(f"this mixture takes [N, {self.dimensions}], not {list(s.shape)}")
        s = at_least_float(s)[:, None]
        log_deviation = self.log_deviation.to(s).expand(self.components, self.dimensions)
        return s, (s - self.means.to(s)) * torch.exp(-log_deviation), log_deviation

    def _place(self, name: str, value: Tensor, learned: bool) -> None:
        if learned:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    def _checked(self, weights: Sequence[float]) -> Tensor:
        """Weights as float32 `[K]`."""
        if len(weights) != self.components or min(weights) <= 0 or abs(math.fsum(weights) - 1) > 1e-6:
            raise ValueError(f"weights must be {self.components} values > 0 of sum 1, not {tuple(weights)}")
        return torch.tensor([float(weight) for weight in weights])


class PooledMixture(Latent):
    """A standard normal map, but for the mean of its first k channels, which follows a Gaussian mixture.

        s = sqrt(P) * mean over the P positions of z[:, :k]
        log p(z | class) = log N(z; 0, I) + log N(s; mu_class, Sigma_class) - log N(s; 0, I)

    For an image with one class and a map of many values. s is z along one vector of length 1 per
    channel (1 / sqrt(P) everywhere), so that s ~ N(0, I) where z ~ N(0, I), and the rest of z in that
    rotated basis is standard normal and independent of s: the densities are exact. A mean mu_class
    moves each value of the map by mu_class / sqrt(P), and k values alone decide the class, so posteriors
    do not saturate as the map grows.

    `valid`, bool `[N, 1, *S]`, restricts s to those positions (P is then their number, in each image): a
    vector of length 1 again, so that everything holds as before. Where no position is valid, s = 0.

    Args:
        channels: of z, `[N, channels, *S]`.
        mixture: of s; its dimension is k <= channels.
    """

    def __init__(self, channels: int, mixture: GaussianMixture) -> None:
        super().__init__()
        if mixture.dimensions > channels:
            raise ValueError(f"{mixture.dimensions} pooled channels cannot come from {channels}")
        self.channels = channels
        self.mixture = mixture
        self.rest = UnitGaussian()

    def pooled(self, z: Tensor, valid: Tensor | None = None) -> Tensor:
        """s: `[N, C, *S]` to `[N, k]`."""
        direction = self._direction(z, valid)
        return (at_least_float(z)[:, : self.mixture.dimensions].flatten(2) * direction).sum(dim=2)

    def class_log_ratio(self, z: Tensor, valid: Tensor | None = None) -> Tensor:
        """log p(z | class) - log N(z; 0, I), `[N, K]`, nats."""
        return self.mixture.class_log_ratio(self.pooled(z, valid))

    def log_ratio(self, z: Tensor, valid: Tensor | None = None) -> Tensor:
        """log p(z) - log N(z; 0, I), `[N]`, nats."""
        each = self.class_log_ratio(z, valid)
        return torch.logsumexp(each + self.mixture.log_weights.to(each), dim=1)

    def class_log_density(self, z: Tensor, valid: Tensor | None = None) -> Tensor:
        """log p(z | class), `[N, K]`, nats; z counts everywhere, `valid` decides only where s is taken."""
        return self.rest.log_density(z)[:, None] + self.class_log_ratio(z, valid)

    def log_posterior(self, z: Tensor, valid: Tensor | None = None) -> Tensor:
        """log p(class | z), `[N, K]`."""
        return self.mixture.log_posterior(self.pooled(z, valid))

    def log_density_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """The standard normal's map, with log p(z) - log N(z; 0, I) spread evenly over the positions."""
        rest = self.rest.log_density_map(z)
        share = self.log_ratio(z) / rest[0].numel()
        return rest + share.view(-1, *(1 for _ in rest.shape[1:]))

    def replaced(self, z: Tensor, s: Tensor, valid: Tensor | None = None) -> Tensor:
        """z with its pooled part replaced by s `[N, k]`; what is orthogonal to it stays."""
        z = at_least_float(z)
        k = self.mixture.dimensions
        change = (s.to(z) - self.pooled(z, valid))[:, :, None] * self._direction(z, valid)
        return torch.cat((z[:, :k] + change.view_as(z[:, :k]), z[:, k:]), dim=1)

    def sample(
        self,
        shape: Sequence[int],
        generator: torch.Generator,
        *,
        context: Tensor | None = None,
        temperature: float = 1.0,
        component: int | None = None,
    ) -> Tensor:
        """z of this shape, of one component or of the mixture (None)."""
        rest = self.rest.sample(shape, generator, temperature=temperature).to(self.mixture.means)
        s = self.mixture.sample(shape[0], generator, component=component, temperature=temperature)
        return self.replaced(rest, s)

    def _direction(self, z: Tensor, valid: Tensor | None) -> Tensor:
        """The vector of length 1 over the positions, `[1 or N, 1, P]`."""
        if z.dim() < 2 or z.shape[1] != self.channels:
            raise ValueError(f"this latent takes [N, {self.channels}, *S], not {list(z.shape)}")
        positions = math.prod(z.shape[2:])
        weight = at_least_float(z).new_ones(1, 1, positions)
        if valid is not None:
            weight = valid.flatten(2).to(weight)
        return weight / weight.sum(dim=2, keepdim=True).clamp_min(1).sqrt()


def _means(
    components: int,
    dimensions: int,
    means: Literal["simplex", "random"] | Tensor,
    separation: float,
    generator: torch.Generator | None,
) -> Tensor:
    """`[K, D]`, float32."""
    if isinstance(means, Tensor):
        if means.shape != (components, dimensions):
            raise ValueError(f"means must be [{components}, {dimensions}], not {list(means.shape)}")
        return means.detach().clone().float()
    if means not in ("simplex", "random"):
        raise ValueError(f"means must be simplex, random or a tensor, not {means}")
    if separation <= 0:
        raise ValueError(f"separation must be > 0, not {separation}")
    if means == "random":
        return separation * torch.randn(components, dimensions, generator=generator)
    if dimensions < components - 1:
        raise ValueError(
            f"{components} means at one distance from each other need {components - 1} dimensions, "
            f"not {dimensions}: take fewer components, more dimensions or means of your own"
        )
    placed = torch.zeros(components, dimensions)
    if components > 1:
        axes = components - 1
        products = 0.5 * (torch.eye(axes, dtype=torch.float64) + 1)  # v_i . v_j = 1/2, |v_i| = 1
        placed[1:, :axes] = separation * torch.linalg.cholesky(products).float()
    return placed
