"""Glow: a multi-scale normalizing flow with exact likelihood, inverse and sampling, in 2-D and 3-D."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from secondread.flows.glow.coupling_net import working_dtype
from secondread.flows.glow.initialisation import initialise_step
from secondread.flows.glow.level import Level, Prepared
from secondread.flows.glow.planes import from_planes, squeeze, to_planes, unsqueeze
from secondread.flows.glow.priors import ConditionalGaussian, LearnedGaussian
from secondread.flows.glow.scales import Scale
from secondread.flows.glow.step import Memory, Step
from secondread.flows.image_flow import ImageFlow
from secondread.flows.kept_weights import KeptWeights
from secondread.flows.latent import Latent, UnitGaussian
from secondread.networks.as_graph import written_as_graph
from secondread.networks.precision import full_precision

Give = Callable[[int, Sequence[int], Tensor | None], Tensor]
"""The latent variables of a level, from its number, their shape and the context that stays."""


@dataclass
class Leaving:
    """What a level gives away: its latent variables z `[N, c, *S]`, the context that stays `[N, c, *S]`
    (None at the last level), the level's log-determinant, `[N]`, and without gradient the same per position,
    `[N, 1, *S]`."""

    z: Tensor
    context: Tensor | None
    log_determinant: Tensor
    by_place: Tensor | None


class Glow(ImageFlow):
    """z = f(x) over `levels` of squeeze, `depth` steps and split; log p(x) = log p(z) + log |det dz/dx|.

    Each level halves every side and multiplies the channels by 2^rank, runs its steps (`flows.glow.step`),
    and gives half of its channels away as latent variables; the last gives all. x is
    `[N, channels, *size]`, as `Dequantisation.noisy` makes it; log-densities are in nats.

    Args:
        size: of the images; each side a multiple of 2^levels.
        width: of the coupling networks' hidden layers.
        scale: how a coupling scales (`flows.glow.scales`).
        split_prior, top_prior: "learned" Gaussians as in Glow, or "unit" as in Shibata et al.
        memory: what backpropagation keeps of a step: "recompute" its input and scale (the hidden layers
            are computed again), "invert" the output of every `anchors` steps (inputs are inverted back),
            "store" everything.
        generator: draws the parameters; None = torch's global one.

    Sources: D. Kingma, P. Dhariwal, Glow: Generative flow with invertible 1×1 convolutions, NeurIPS
    2018; A. Gomez et al., The reversible residual network, NeurIPS 2017; T. Chen et al., Training deep
    nets with sublinear memory cost, 2016.
    """

    def __init__(
        self,
        rank: int,
        channels: int,
        size: Sequence[int],
        *,
        levels: int = 3,
        depth: int = 8,
        width: int = 128,
        scale: Scale | None = None,
        mixing: Literal["plain", "lu"] = "plain",
        border: bool = True,
        split_prior: Literal["learned", "unit"] = "learned",
        top_prior: Literal["learned", "unit"] = "learned",
        memory: Memory = "recompute",
        anchors: int = 8,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if len(size) != rank or any(side % 2**levels for side in size):
            raise ValueError(
                f"{levels} levels halve every side {levels} times: each of {tuple(size)} must be a "
                f"multiple of {2**levels}"
            )
        if memory not in get_args(Memory) or min(levels, depth, width, anchors) < 1:
            raise ValueError(
                f"memory is one of {', '.join(get_args(Memory))}, and levels, depth, width and anchors are "
                f"at least 1; not {memory!r} and {levels}, {depth}, {width}, {anchors}"
            )
        self.rank, self.channels, self.size = rank, channels, tuple(size)
        self.dimensions = channels * math.prod(size)
        self.scale = scale or Scale()
        self.memory, self.anchors = memory, anchors
        made = []
        for number in range(levels):
            channels *= 2**rank
            steps = [
                Step(rank, channels, width, self.scale, mixing=mixing, border=border, generator=generator)
                for _ in range(depth)
            ]
            prior: Latent = UnitGaussian()
            if number < levels - 1:
                channels //= 2
                if split_prior == "learned":
                    prior = ConditionalGaussian(rank, channels, channels, border=border)
            elif top_prior == "learned":
                prior = LearnedGaussian(channels)
            made.append(Level(steps, prior, self.scale))
        self._levels = nn.ModuleList(made)
        self.initialised: Tensor
        self.register_buffer("initialised", torch.tensor(False))
        self._kept: KeptWeights[list[Prepared]] = KeptWeights()
        self._flat: list[nn.Parameter] = []

    def __getstate__(self) -> dict[str, Any]:
        """A copy has parameters of its own."""
        return {**self.__dict__, "_flat": []}

    @property
    def levels(self) -> list[Level]:
        return cast(list[Level], list(self._levels))

    @property
    def latent_shapes(self) -> list[tuple[int, ...]]:
        """`[c, *S]` of an image's latent variables that leave at each level."""
        last = len(self.levels) - 1
        channels = [self.channels * 2 ** (self.rank * (n + 1) - min(n + 1, last)) for n in range(last + 1)]
        return [(c, *(side >> (n + 1) for side in self.size)) for n, c in enumerate(channels)]

    def transform(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The latent variables that leave at each level, `[N, c, *S]`, and log |det dz/dx|, `[N]`."""
        leaving = self._descend(x)
        log_determinant = torch.stack([part.log_determinant for part in leaving]).sum(dim=0)
        return [part.z for part in leaving], log_determinant

    def latents(self, x: Tensor) -> list[Tensor]:
        """Those that leave at each level, from the first."""
        return self.transform(x)[0]

    def log_density(self, x: Tensor, u: Tensor | None = None) -> Tensor:
        """log p(x), `[N]`, nats, float64 sums of float32 terms; exact, so that u is not used."""
        return self.density_and_latents(x)[0]

    def density_and_latents(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """log p(x) and, from the same pass, the latent variables that leave at each level."""
        leaving = self._descend(x)
        return _density(x, leaving, self._terms(leaving)), [part.z for part in leaving]

    @torch.no_grad()
    def density_map_and_latents(self, x: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """`density_and_latents` and between them `log_density_map`, all from one pass, without gradient."""
        leaving = self._descend(x)
        terms = self._terms(leaving)
        density, by_place = _density(x, leaving, terms), self._density_map(x, leaving, terms)
        return density, by_place, [part.z for part in leaving]

    def forward(self, x: Tensor) -> Tensor:
        return self.log_density(x)

    @torch.no_grad()
    def log_density_map(self, x: Tensor, u: Tensor | None = None) -> Tensor:
        """log p(x) told apart by place, `[N, 1, *size]`: its sum over the image is `log_density`.

        Each level's terms at a position (log-density of what leaves there, log-determinant of its steps)
        are spread evenly over the pixels of that position's cell. Without gradient.
        """
        leaving = self._descend(x)
        return self._density_map(x, leaving, self._terms(leaving))

    def _terms(self, leaving: list[Leaving]) -> list[Tensor]:
        """The log-density of what leaves at each level, per position, `[N, 1, *S]`."""
        return [
            level.prior.log_density_map(part.z, part.context)
            for level, part in zip(self.levels, leaving, strict=True)
        ]

    def _density_map(self, x: Tensor, leaving: list[Leaving], log_densities: list[Tensor]) -> Tensor:
        total = x.new_zeros((len(x), 1, *self.size))
        for part, log_density in zip(leaving, log_densities, strict=True):
            assert part.by_place is not None
            terms = log_density + part.by_place
            cell = self.size[0] // terms.shape[2]
            for axis in range(2, 2 + self.rank):
                terms = terms.repeat_interleave(cell, dim=axis)
            total += terms / cell**self.rank
        return total

    @torch.no_grad()
    def inverse(self, latents: Sequence[Tensor]) -> Tensor:
        """The x that `transform` takes to these latent variables."""
        return self._ascend(lambda level, shape, context: latents[level], len(latents[-1]))

    @torch.no_grad()
    def sample(
        self,
        n: int,
        generator: torch.Generator,
        *,
        temperature: float = 1.0,
        top: Callable[[Sequence[int]], Tensor] | None = None,
    ) -> Tensor:
        """n drawn x, `[n, channels, *size]`; every standard deviation is multiplied by `temperature`. `top`
        draws the last level's latent variables, of the shape that it gets, in place of their prior."""

        def draw(level: int, shape: Sequence[int], context: Tensor | None) -> Tensor:
            if top is not None and level == len(self.levels) - 1:
                return top(shape)
            prior = self.levels[level].prior
            return prior.sample(shape, generator, context=context, temperature=temperature)

        return self._ascend(draw, n)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Fit every actnorm to x `[N, channels, *size]`: zero mean, unit variance behind each, in float32.

        Takes any number of images at once; the more, the steadier (Glow takes 256). A channel that
        does not vary is divided by no less than a floor.
        """
        with full_precision(x):
            state = to_planes(x)
            for level in self.levels:
                state = squeeze(state)
                for step in level.steps:
                    state = initialise_step(step, state)
                if level is not self.levels[-1]:
                    state = state[: len(state) // 2]
        self.initialised.fill_(True)

    def _descend(self, x: Tensor) -> list[Leaving]:
        if not len(x) or tuple(x.shape[1:]) != (self.channels, *self.size):
            raise ValueError(
                f"this Glow takes [N, {self.channels}, {', '.join(map(str, self.size))}] with N at least 1, "
                f"not {tuple(x.shape)}"
            )
        dtype = working_dtype(x)
        with full_precision(x):
            return self._levels_of(x, dtype)

    def _levels_of(self, x: Tensor, dtype: torch.dtype) -> list[Leaving]:
        learning = torch.is_grad_enabled() and (
            x.requires_grad or any(parameter.requires_grad for parameter in self.parameters())
        )
        if learning:
            self._kept.forget()
        prepared = None if learning else self._prepared(dtype)
        state = to_planes(x)
        leaving: list[Leaving] = []
        for number, level in enumerate(self.levels):
            state = squeeze(state)
            positions, by_place = math.prod(state.shape[2:]), None
            if prepared is None:
                state, each, constant = level.learn(state, dtype, self.memory, self.anchors)
                log = each.double() + positions * constant
            else:
                state, terms = level.run(state, prepared[number])
                constant = prepared[number].constant
                by_place = terms[:, None] + constant.to(terms.dtype)
                log = terms.flatten(1).sum(dim=1, dtype=torch.float64) + positions * constant
            if number == len(self.levels) - 1:
                leaving.append(Leaving(from_planes(state), None, log, by_place))
            else:
                half = len(state) // 2
                state, away = state[:half], state[half:]
                leaving.append(Leaving(from_planes(away), from_planes(state), log, by_place))
        return leaving

    def _ascend(self, give: Give, n: int) -> Tensor:
        """From latent variables back to x."""
        some = next(self.parameters())
        dtype = working_dtype(some)
        with full_precision(some):
            return self._levels_back(give, n, some, self._prepared(dtype))

    def _levels_back(self, give: Give, n: int, some: Tensor, prepared: list[Prepared]) -> Tensor:
        last = len(self.levels) - 1
        state = some.new_zeros(0)
        for number, shape in reversed(list(enumerate(self.latent_shapes))):
            context = None if number == last else from_planes(state)
            z = to_planes(give(number, (n, *shape), context).to(some))
            state = z if number == last else torch.cat((state, z))
            state = unsqueeze(self.levels[number].run_back(state, prepared[number]))
        return from_planes(state).contiguous()

    @torch.no_grad()
    def _prepared(self, dtype: torch.dtype) -> list[Prepared]:
        """Weights ready for use and constants, kept until a parameter changes."""

        def make() -> list[Prepared]:
            return [level.prepare(dtype) for level in self.levels]

        return self._kept.of(self._all_parameters(), make, dtype, written_as_graph())

    def _all_parameters(self) -> list[nn.Parameter]:
        """As a flat list, without the walk through every module; new where a parameter was replaced."""
        if not self._flat or self._flat[0] is not self.levels[0].steps[0].mixing.bias:
            self._flat = list(self.parameters())
        return self._flat


def _density(x: Tensor, leaving: list[Leaving], log_densities: list[Tensor]) -> Tensor:
    total = x.new_zeros(len(x), dtype=torch.float64)
    for part, terms in zip(leaving, log_densities, strict=True):
        total = total + terms.flatten(1).sum(dim=1, dtype=torch.float64) + part.log_determinant
    return total
