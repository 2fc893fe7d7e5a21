"""Residual flow: invertible residual networks as a density of images, in 2-D and 3-D."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondread.flows.glow.planes import from_planes, squeeze, to_planes, unsqueeze
from secondread.flows.image_flow import ImageFlow
from secondread.flows.kept_weights import KeptWeights
from secondread.flows.latent import UnitGaussian
from secondread.flows.residual.activations import Activation
from secondread.flows.residual.block import ResidualBlock
from secondread.flows.residual.function import Weights
from secondread.flows.residual.series import Truncation
from secondread.networks.precision import full_precision

FLOOR = 1e-3
"""The smallest deviation that an actnorm divides by: about that of 8-bit dequantisation noise."""


class ActNorm(nn.Module):
    """y = (x + b) exp(l) per channel of planes `[C, N, *S]`, fitted to data at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        each = (-1, *(1 for _ in x.shape[1:]))
        return (x + self.bias.view(each)) * self.log_scale.exp().view(each)

    def inverse(self, y: Tensor) -> Tensor:
        each = (-1, *(1 for _ in y.shape[1:]))
        return y * (-self.log_scale).exp().view(each) - self.bias.view(each)

    def fit(self, x: Tensor) -> None:
        flat = x.flatten(1)
        self.bias.copy_(-flat.mean(dim=1))
        self.log_scale.copy_(-flat.std(dim=1, correction=0).clamp_min(FLOOR).log())


class Level(nn.Module):
    """Actnorm, then blocks with an actnorm behind each, on maps of one size; `size` is empty for rows."""

    def __init__(self, channels: int, size: tuple[int, ...], blocks: Sequence[ResidualBlock]) -> None:
        super().__init__()
        self.channels, self.size = channels, size
        self._blocks = nn.ModuleList(blocks)
        self._norms = nn.ModuleList(ActNorm(channels) for _ in range(len(blocks) + 1))

    @property
    def blocks(self) -> list[ResidualBlock]:
        return cast(list[ResidualBlock], list(self._blocks))

    @property
    def norms(self) -> list[ActNorm]:
        return cast(list[ActNorm], list(self._norms))


class ResidualFlow(ImageFlow):
    """z = f(x) over levels of `depth` blocks y = x + g(x); log p(x) = log N(z; 0, I) + log |det dz/dx|.

    Between two levels each side is halved and the channels are multiplied by 2^rank; nothing leaves before
    the end. With `squeeze_first` this stands before the first level too, which makes the blocks cheaper by as
    much. At the end come `dense` blocks on all numbers of the image as one row, of linear layers. An
    activation stands before every layer but the very first, an actnorm before each level's first block and
    behind every block.

    log |det| is a power series with a random vector of signs for each block, which `random_numbers` give
    (`flows.residual.function`), so that log p is an estimate: without bias in training by `training`, in
    scoring by `scoring`, whose `exact` terms are more (`flows.residual.series`). In training the number of
    random terms is one for the whole batch in each block; in scoring each image has its own.

    Everything runs in float32 whatever autocast says: rounding breaks the Lipschitz bound.

    Args:
        size: of the images; each side a multiple of 2^halvings.
        logit: None, or a: the flow begins with logit(a + (1 - 2 a) (x + 1/2)), for x in [-1/2, 1/2].
        generator: draws the parameters; None = torch's global one.

    Sources: J. Behrmann, W. Grathwohl, R. Chen, D. Duvenaud, J.-H. Jacobsen, Invertible residual networks,
    ICML 2019; R. Chen, J. Behrmann, D. Duvenaud, J.-H. Jacobsen, Residual flows for invertible generative
    modeling, NeurIPS 2019.
    """

    autocasts = False
    random_numbers: tuple[int, ...]

    def __init__(
        self,
        rank: int,
        channels: int,
        size: Sequence[int],
        *,
        levels: int = 3,
        depth: int = 4,
        width: int = 64,
        dense: int = 0,
        dense_width: int = 128,
        activation: Activation = "lipswish",
        coefficient: float = 0.98,
        tolerance: float = 1e-3,
        training: Truncation | None = None,
        scoring: Truncation | None = None,
        squeeze_first: bool = True,
        logit: float | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        halvings = levels - 1 + squeeze_first
        if len(size) != rank or any(side % 2**halvings for side in size):
            raise ValueError(
                f"{levels} levels halve every side {halvings} times: each of {tuple(size)} must be a "
                f"multiple of {2**halvings}"
            )
        self.rank, self.channels, self.size = rank, channels, tuple(size)
        self.squeeze_first, self.logit = squeeze_first, logit
        self.training_series = training or Truncation()
        self.scoring_series = scoring or Truncation(exact=20)
        self.dimensions = channels * math.prod(size)
        self.latent = UnitGaussian()
        made: list[Level] = []

        def add(channels: int, size: tuple[int, ...], count: int, width: int) -> None:
            blocks = [
                ResidualBlock(
                    channels,
                    size,
                    width=width,
                    activation=activation,
                    preactivated=bool(made) or number > 0,
                    coefficient=coefficient,
                    tolerance=tolerance,
                    generator=generator,
                )
                for number in range(count)
            ]
            made.append(Level(channels, size, blocks))

        for number in range(levels):
            halved = number + squeeze_first
            add(channels * 2 ** (rank * halved), tuple(side >> halved for side in size), depth, width)
        if dense:
            add(self.dimensions, (), dense, dense_width)
        self._levels = nn.ModuleList(made)
        count = sum(len(level.blocks) for level in self.levels)
        self.random_numbers = (count, self.dimensions + 1)
        self.initialised: Tensor
        self.register_buffer("initialised", torch.tensor(False))
        self._kept: KeptWeights[list[Weights]] = KeptWeights()

    @property
    def levels(self) -> list[Level]:
        return cast(list[Level], list(self._levels))

    @property
    def blocks(self) -> list[ResidualBlock]:
        return [block for level in self.levels for block in level.blocks]

    def log_density(self, x: Tensor, u: Tensor | None = None) -> Tensor:
        """log p(x), `[N]`, nats, float64 sums of float32 terms."""
        with full_precision(x):
            u = self._checked(x, u)
            learning = torch.is_grad_enabled() and (
                x.requires_grad or any(parameter.requires_grad for parameter in self.parameters())
            )
            if not learning:
                return self._map(x, u).flatten(1).sum(dim=1, dtype=torch.float64)
            return self._learnt(x, u)

    def forward(self, x: Tensor, u: Tensor | None = None) -> Tensor:
        return self.log_density(x, u)

    @torch.no_grad()
    def log_density_map(self, x: Tensor, u: Tensor | None = None) -> Tensor:
        """The terms of log p(x) by place, `[N, 1, *size]`; those of a coarser level are spread evenly over
        the pixels of each position's cell, and those of the dense blocks over all."""
        with full_precision(x):
            return self._map(x, self._checked(x, u))

    @torch.no_grad()
    def latents(self, x: Tensor) -> list[Tensor]:
        """z of each image, as one map of the last level (or one row behind dense blocks)."""
        with full_precision(x):
            state = self._entered(x)[0]
            for number, (level, weights) in enumerate(zip(self.levels, self._by_level(), strict=True)):
                state = level.norms[0](self._moved_into(number, state))
                for block, own, norm in zip(level.blocks, weights, level.norms[1:], strict=True):
                    state = norm(block.move(state, own))
            return [from_planes(state)]

    @torch.no_grad()
    def inverse(self, latents: Sequence[Tensor]) -> Tensor:
        (z,) = latents
        with full_precision(z):
            state = to_planes(z)
            by_level = list(zip(self.levels, self._by_level(), strict=True))
            for number, (level, weights) in reversed(list(enumerate(by_level))):
                for block, own, norm in reversed(
                    list(zip(level.blocks, weights, level.norms[1:], strict=True))
                ):
                    state = block.inverse(norm.inverse(state), own)
                state = self._moved_out_of(number, level.norms[0].inverse(state))
            x = from_planes(state)
            if self.logit is not None:
                x = (torch.sigmoid(x) - self.logit) / (1 - 2 * self.logit) - 0.5
            return x.contiguous()

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        last, like = self.levels[-1], next(self.parameters())
        shape = (n, last.channels, *last.size)
        z = self.latent.sample(shape, generator, temperature=temperature)
        return self.inverse([z.to(like)])

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Fit every actnorm to x: zero mean, unit variance behind each."""
        with full_precision(x):
            state = self._entered(x)[0]
            for number, level in enumerate(self.levels):
                state = self._moved_into(number, state)
                level.norms[0].fit(state)
                state = level.norms[0](state)
                for block, norm in zip(level.blocks, level.norms[1:], strict=True):
                    state = block.move(state, block.weights(update=True))
                    norm.fit(state)
                    state = norm(state)
        self.initialised.fill_(True)

    def _learnt(self, x: Tensor, u: Tensor) -> Tensor:
        """log p with gradient."""
        self._kept.forget()
        state, entered = self._entered(x)
        total = entered.flatten(1).sum(dim=1, dtype=torch.float64)
        place = 0
        for number, level in enumerate(self.levels):
            state = level.norms[0](self._moved_into(number, state))
            total = total + self._scales(level).double()
            for block, norm in zip(level.blocks, level.norms[1:], strict=True):
                signs, coefficients = self._drawn(u[:, place], state)
                place += 1
                state, log = block.learn(state, signs, coefficients, block.weights(update=self.training))
                state = norm(state)
                total = total + log.double()
        z = from_planes(state)
        return total + self.latent.log_density_map(z).flatten(1).sum(dim=1, dtype=torch.float64)

    def _map(self, x: Tensor, u: Tensor) -> Tensor:
        """log p by place, `[N, 1, *size]`, without gradient."""
        state, found = self._entered(x)
        place = 0
        for number, (level, weights) in enumerate(zip(self.levels, self._by_level(), strict=True)):
            state = level.norms[0](self._moved_into(number, state))
            total = self._scales(level) / math.prod(level.size) + torch.zeros_like(state[0])
            for block, own, norm in zip(level.blocks, weights, level.norms[1:], strict=True):
                signs, coefficients = self._drawn(u[:, place], state)
                place += 1
                state, terms = block.run(state, signs, coefficients, own)
                state = norm(state)
                total += terms
            if level is self.levels[-1]:
                total += self.latent.log_density_map(from_planes(state))[:, 0]
            found += self._spread(total[:, None])
        return found

    def _entered(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Planes of x behind the logit, and its log-determinant by place, `[N, 1, *size]`."""
        zero = x.new_zeros((len(x), 1, *self.size))
        if self.logit is None:
            return to_planes(x), zero
        inside = self.logit + (1 - 2 * self.logit) * (x + 0.5).clamp(0, 1)
        y = torch.logit(inside)
        log = math.log(1 - 2 * self.logit) - functional.logsigmoid(y) - functional.logsigmoid(-y)
        return to_planes(y), log.sum(dim=1, keepdim=True)

    def _moved_into(self, number: int, state: Tensor) -> Tensor:
        """The state on the grid of this level, from that of the level before."""
        level = self.levels[number]
        if not level.size:
            return state.movedim(1, 0).flatten(1).t().contiguous()
        return squeeze(state) if number or self.squeeze_first else state

    def _moved_out_of(self, number: int, state: Tensor) -> Tensor:
        """The inverse of `_moved_into`."""
        if not self.levels[number].size:
            before = self.levels[number - 1]
            return state.t().reshape(-1, before.channels, *before.size).movedim(0, 1).contiguous()
        return unsqueeze(state) if number or self.squeeze_first else state

    def _scales(self, level: Level) -> Tensor:
        """The log-determinant of a level's actnorms, of a whole image."""
        return torch.stack([norm.log_scale for norm in level.norms]).sum() * math.prod(level.size)

    def _drawn(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Signs as planes like the state, and the coefficients of the series, from u `[N, D + 1]`."""
        halves = torch.where(u[:, 1:] < 0.5, -1.0, 1.0).to(state)
        signs = halves.t().reshape(len(state), -1, len(u)).movedim(2, 1).reshape(state.shape)
        if self.training and torch.is_grad_enabled():
            return signs, self.training_series.coefficients(u[:1, 0]).expand(len(u), -1)
        return signs, self.scoring_series.coefficients(u[:, 0])

    def _spread(self, terms: Tensor) -> Tensor:
        """Each position's term over the pixels of its cell."""
        if terms.dim() == 2:
            each = terms.view(-1, 1, *(1 for _ in self.size)) / math.prod(self.size)
            return each.expand(-1, 1, *self.size)
        cell = self.size[0] // terms.shape[2]
        for axis in range(2, 2 + self.rank):
            terms = terms.repeat_interleave(cell, dim=axis)
        return terms / cell**self.rank

    def _checked(self, x: Tensor, u: Tensor | None) -> Tensor:
        if not len(x) or tuple(x.shape[1:]) != (self.channels, *self.size):
            raise ValueError(
                f"this flow takes [N, {self.channels}, {', '.join(map(str, self.size))}] with N at least 1, "
                f"not {tuple(x.shape)}"
            )
        if u is None or tuple(u.shape) != (len(x), *self.random_numbers):
            raise ValueError(
                f"a residual flow estimates log p with uniform numbers [{len(x)}, "
                f"{', '.join(map(str, self.random_numbers))}], not {None if u is None else tuple(u.shape)}"
            )
        return u.to(x.device)

    @torch.no_grad()
    def _by_level(self) -> list[list[Weights]]:
        """The normalised weights of every block, kept until a parameter changes."""

        def make() -> list[Weights]:
            return [block.weights(update=False) for block in self.blocks]

        weights = iter(self._kept.of(list(self.parameters()), make))
        return [[next(weights) for _ in level.blocks] for level in self.levels]
