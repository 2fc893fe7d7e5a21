"""One block of a residual flow: y = x + g(x), with a network g that contracts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondread.flows.residual.activations import Activation
from secondread.flows.residual.function import (
    Network,
    ResidualFunction,
    Weights,
    residual,
    residual_and_series,
)
from secondread.flows.residual.lipschitz import Kind, LipschitzLayer

INVERSE_STEPS = 1_000
INVERSE_TOLERANCE = 1e-6
"""Of the fixed-point iteration: the largest change, as a share of the largest value."""


class ResidualBlock(nn.Module):
    """y = x + g(x), |g(a) - g(b)| < |a - b|, so that it has one inverse.

    g is activation and `LipschitzLayer` in turn: in maps a 3-wide convolution to `width`, layers that see no
    neighbours, a 3-wide convolution back; in rows linear layers. Its Lipschitz constant is at most the
    product of the layers' `coefficient`, since activations have 1. x is planes `[channels, N, *size]`.

    Sources: J. Behrmann et al., Invertible residual networks, ICML 2019; R. Chen et al., Residual flows for
    invertible generative modeling, NeurIPS 2019.

    Args:
        size: of the maps; empty for rows.
        layers: of g, at least 2.
        preactivated: an activation stands before the first layer too.
    """

    def __init__(
        self,
        channels: int,
        size: Sequence[int],
        *,
        width: int = 128,
        layers: int = 3,
        activation: Activation = "lipswish",
        preactivated: bool = True,
        coefficient: float = 0.98,
        tolerance: float = 1e-3,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 0 < coefficient < 1:
            raise ValueError(f"the coefficient lies between 0 and 1, not at {coefficient}")
        widths = [channels, *[width] * (layers - 1), channels]
        kinds: list[Kind] = ["inside"] * layers
        kinds[0], kinds[-1] = "enter", "leave"
        self._layers = nn.ModuleList(
            LipschitzLayer(
                widths[number],
                widths[number + 1],
                size,
                kind,
                coefficient=coefficient,
                tolerance=tolerance,
                generator=generator,
            )
            for number, kind in enumerate(kinds)
        )
        self.network = Network(tuple(layer.place for layer in self.layers), activation, preactivated)
        activations = layers if preactivated else layers - 1
        self.steepness = nn.Parameter(torch.full((activations,), 0.5)) if activation == "lipswish" else None

    @property
    def layers(self) -> list[LipschitzLayer]:
        return cast(list[LipschitzLayer], list(self._layers))

    def weights(self, *, update: bool) -> Weights:
        """Normalised. `update`: see `LipschitzLayer.matrix`."""
        steepness: list[Tensor | None] = [None] * len(self.layers)
        if self.steepness is not None:
            steepness[-len(self.steepness) :] = functional.softplus(self.steepness).unbind()
        return Weights(
            [layer.matrix(update=update) for layer in self.layers],
            [layer.bias for layer in self.layers],
            steepness,
        )

    def learn(
        self, x: Tensor, signs: Tensor, coefficients: Tensor, weights: Weights
    ) -> tuple[Tensor, Tensor]:
        """With gradient: y, and the estimate of log det of each image, `[N]`."""
        found: tuple[Tensor, Tensor] = ResidualFunction.apply(
            x, signs, coefficients, self.network, *weights.flat()
        )
        return found

    def run(self, x: Tensor, signs: Tensor, coefficients: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
        """Without gradient: y, and the estimate by position, summed over channels, `[N, *size]`."""
        g, terms, _ = residual_and_series(x, signs, coefficients, self.network, weights, neumann=False)
        return x + g, terms.sum(dim=0)

    def move(self, x: Tensor, weights: Weights) -> Tensor:
        """y alone, without gradient."""
        return x + residual(x, self.network, weights)

    def inverse(self, y: Tensor, weights: Weights) -> Tensor:
        """The x of y, without gradient: x <- y - g(x), each time nearer by the Lipschitz constant."""
        x = y
        for _ in range(INVERSE_STEPS):
            before, x = x, y - residual(x, self.network, weights)
            if float((x - before).abs().max()) <= INVERSE_TOLERANCE * max(1.0, float(x.abs().max())):
                break
        return x

    def lipschitz_bound(self) -> float:
        return math.prod(layer.coefficient for layer in self.layers)
