"""Glow as its paper writes it, in torch convolutions and autograd, on the parameters of a `Glow`.

The reference that the flow core is held against, and the plain float32 baseline of benchmarks/speed/flows.py.
Nothing here comes from `secondread.flows`: only the parameters are read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor
from torch.nn import functional


@dataclass
class PlainStep:
    """A step's parameters in the layouts of torch convolutions; a log-scale of None = no actnorm there."""

    bias: Tensor
    log_scale: Tensor
    matrix: Tensor
    first: Tensor
    first_bias: Tensor
    first_log_scale: Tensor | None
    middle: Tensor
    middle_bias: Tensor
    middle_log_scale: Tensor | None
    last: Tensor
    last_bias: Tensor
    last_log_scale: Tensor | None


@dataclass
class PlainPrior:
    """A convolution of what stays (weight), a mean and deviation per channel (mean), or neither: unit."""

    mean: Tensor | None = None
    log_deviation: Tensor | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None
    log_scale: Tensor | None = None


@dataclass
class PlainGlow:
    """`watch` collects what leaves every actnorm, in order."""

    rank: int
    border: bool
    scheme: str
    bound: float
    levels: list[tuple[list[PlainStep], PlainPrior]]
    watch: list[Tensor] | None = field(default=None)

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x), `[N]`."""
        zs, contexts, log_determinant = self.transform(x)
        total = log_determinant
        for (_, prior), z, context in zip(self.levels, zs, contexts, strict=True):
            mean, log_deviation = self.prior(prior, z, context)
            density = -0.5 * (((z - mean) / log_deviation.exp()) ** 2 + math.log(2 * math.pi)) - log_deviation
            total = total + density.flatten(1).sum(dim=1)
        return total

    def transform(self, x: Tensor) -> tuple[list[Tensor], list[Tensor | None], Tensor]:
        """Latent variables, what stays beside each, and log |det dz/dx|."""
        zs: list[Tensor] = []
        contexts: list[Tensor | None] = []
        total = x.new_zeros(len(x))
        for number, (steps, _) in enumerate(self.levels):
            x = squeeze(x)
            for step in steps:
                x, log_determinant = self.step(step, x)
                total = total + log_determinant
            if number == len(self.levels) - 1:
                return [*zs, x], [*contexts, None], total
            x, z = x.chunk(2, dim=1)
            zs.append(z)
            contexts.append(x)
        raise ValueError("a Glow has at least one level")

    def step(self, step: PlainStep, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.actnorm(x, step.bias, step.log_scale)
        x = self.convolve(x, step.matrix[(..., *[None] * self.rank)])
        per_position = step.log_scale.sum() + torch.linalg.slogdet(step.matrix)[1]
        total = per_position * math.prod(x.shape[2:])
        first, second = x.chunk(2, dim=1)
        h = self.convolve(self.padded(first), step.first, step.first_bias, step.first_log_scale)
        h = functional.relu(self.watched(h))
        h = self.convolve(h, step.middle, step.middle_bias, step.middle_log_scale)
        h = functional.relu(self.watched(h))
        h = self.convolve(self.padded(h), step.last, step.last_bias, step.last_log_scale)
        if self.scheme == "spline":
            second, log_slope = self.bent(second, h)
            return torch.cat((first, second), dim=1), total + log_slope.flatten(1).sum(dim=1)
        shift, h = h[:, : second.shape[1]], h[:, second.shape[1] :]
        match self.scheme:
            case "glow":
                scale = torch.sigmoid(h + 2)
            case "shibata":
                scale = torch.sigmoid(h - 0.1) + 0.6
            case "exp":
                scale = torch.exp(self.bound * torch.tanh(h / self.bound))
            case _:
                return torch.cat((first, second + shift), dim=1), total.expand(len(x))
        out = torch.cat((first, (second + shift) * scale), dim=1)
        return out, total + scale.log().flatten(1).sum(dim=1)

    def bent(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """The spline of normflows, with a constant that makes ours the identity at zero."""
        from normflows.utils.splines import unconstrained_rational_quadratic_spline

        bins = (h.shape[1] // x.shape[1] + 1) // 3
        h = h.unflatten(1, (x.shape[1], -1)).movedim(2, -1)
        widths, heights, slopes = h.split((bins, bins, bins - 1), dim=-1)
        slopes = slopes + math.log(math.expm1(1 - 1e-3))
        bent: tuple[Tensor, Tensor] = unconstrained_rational_quadratic_spline(
            x, widths, heights, slopes, tail_bound=self.bound
        )
        return bent

    def actnorm(self, x: Tensor, bias: Tensor, log_scale: Tensor) -> Tensor:
        each = (-1, *[1] * self.rank)
        return self.watched((x + bias.view(each)) * log_scale.exp().view(each))

    def watched(self, x: Tensor) -> Tensor:
        if self.watch is not None:
            self.watch.append(x)
        return x

    def padded(self, x: Tensor) -> Tensor:
        """One zero around; with `border`, one more channel that is one there."""
        around = functional.pad(x, (1, 1) * self.rank)
        if not self.border:
            return around
        edge = functional.pad(x.new_zeros(len(x), 1, *x.shape[2:]), (1, 1) * self.rank, value=1.0)
        return torch.cat((around, edge), dim=1)

    def convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None = None, log_scale: Tensor | None = None
    ) -> Tensor:
        out = (functional.conv2d if self.rank == 2 else functional.conv3d)(x, weight, bias)
        return out if log_scale is None else out * torch.exp(3 * log_scale).view(-1, *[1] * self.rank)

    def prior(self, prior: PlainPrior, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the standard deviation."""
        if prior.weight is not None:
            assert context is not None
            found = self.convolve(self.padded(context), prior.weight, prior.bias, prior.log_scale)
            mean, log_deviation = found.chunk(2, dim=1)
            return mean, log_deviation
        if prior.mean is not None and prior.log_deviation is not None:
            each = (-1, *[1] * self.rank)
            return prior.mean.view(each), 3 * prior.log_deviation.view(each)
        return torch.zeros_like(z), torch.zeros_like(z)

    def as_leaves(self) -> PlainGlow:
        """A copy with parameters of its own, the networks' actnorms folded into their convolutions."""
        levels = []
        for steps, prior in self.levels:
            copied = []
            for step in steps:
                folded = {
                    name: getattr(step, name).detach().clone() for name in ("bias", "log_scale", "matrix")
                }
                for name in ("first", "middle", "last"):
                    log_scale = getattr(step, f"{name}_log_scale")
                    for part in (name, f"{name}_bias"):
                        value = getattr(step, part).detach().clone()
                        if log_scale is not None:
                            gain = torch.exp(3 * log_scale.detach())
                            value = value * gain.view(-1, *[1] * (value.dim() - 1))
                        folded[part] = value
                logs = dict.fromkeys(("first_log_scale", "middle_log_scale", "last_log_scale"))
                copied.append(PlainStep(**folded, **logs))
            own = {f.name: getattr(prior, f.name) for f in fields(prior)}
            levels.append(
                (copied, PlainPrior(**{k: None if v is None else v.detach().clone() for k, v in own.items()}))
            )
        made = PlainGlow(self.rank, self.border, self.scheme, self.bound, levels)
        for parameter in made.parameters():
            parameter.requires_grad_()
        return made

    def parameters(self) -> list[Tensor]:
        parts = [part for steps, prior in self.levels for part in (*steps, prior)]
        values = [getattr(part, f.name) for part in parts for f in fields(part)]
        return [value for value in values if value is not None]


def squeeze(x: Tensor) -> Tensor:
    """Cells of 2 per side become channels, those of one channel side by side."""
    if x.dim() == 4:
        return functional.pixel_unshuffle(x, 2)
    places = [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    parts = torch.stack([x[:, :, i::2, j::2, k::2] for i, j, k in places], dim=2)
    return parts.flatten(1, 2)


def plain_glow(glow: torch.nn.Module) -> PlainGlow:
    """The same flow on the same parameters: gradients reach those of `glow`."""
    levels = []
    for level in glow.levels:
        steps = [_plain_step(step, glow.rank) for step in level.steps]
        own = dict(level.prior.named_parameters())
        levels.append((steps, PlainPrior(**own)))
    border = glow.levels[0].steps[0].net.border
    return PlainGlow(glow.rank, border, glow.scale.scheme, glow.scale.bound, levels)


def _plain_step(step: torch.nn.Module, rank: int) -> PlainStep:
    mixing, net = step.mixing, step.net
    if mixing.form == "plain":
        matrix = mixing.weight
    else:
        diagonal = torch.diag(mixing.sign * torch.exp(mixing.log_diagonal))
        lower = torch.tril(mixing.lower, -1) + torch.eye(len(diagonal)).to(diagonal)
        matrix = mixing.order @ lower @ (torch.triu(mixing.upper, 1) + diagonal)
    axes = list(range(1, 1 + rank))
    last = net.last_weight.flip(axes).permute(0, -1, *axes)
    if net.last_border is not None:
        last = torch.cat((last, net.last_border.view(-1, 1, *[3] * rank)), dim=1)
    middle = net.middle_weight[(..., *[None] * rank)]
    return PlainStep(
        mixing.bias, mixing.log_scale, matrix,
        net.first_weight, net.first_bias, net.first_log_scale,
        middle, net.middle_bias, net.middle_log_scale,
        last, net.last_bias, net.last_log_scale,
    )  # fmt: skip
