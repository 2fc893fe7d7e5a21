"""Activation normalisation and the invertible 1×1 convolution, which together are one affine map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn


class Mixing(nn.Module):
    """y = W ((x + b) * exp(l)) at every position, over channels: actnorm, then invertible 1×1 convolution.

        y = M x + c,   M = W diag(exp(l)),   c = M b,   log |det M| = sum l + log |det W| per position

    `form`: "plain" learns W; "lu" learns W = P L (U + diag(s)), with P and the signs of s fixed, so that
    log |det W| = sum log |s|. W starts as a random rotation. The log-determinant is taken in float64
    (Kingma and Dhariwal, Glow, NeurIPS 2018). b and l are fitted to data by
    `Glow.initialise`; `affine_maps` gives M, c and the log-determinant.
    """

    def __init__(
        self,
        channels: int,
        *,
        form: Literal["plain", "lu"] = "plain",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.form = form
        self.bias = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))
        rotation = torch.linalg.qr(torch.randn(channels, channels, generator=generator, dtype=torch.float64))[
            0
        ]
        if form == "plain":
            self.weight = nn.Parameter(rotation.float())
            return
        order, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        self.order: Tensor
        self.sign: Tensor
        self.register_buffer("order", order.float())
        self.register_buffer("sign", diagonal.sign().float())
        self.lower = nn.Parameter(lower.tril(-1).float())
        self.upper = nn.Parameter(upper.triu(1).float())
        self.log_diagonal = nn.Parameter(diagonal.abs().log().float())

    def matrix(self) -> Tensor:
        """W, `[channels, channels]`."""
        if self.form == "plain":
            return self.weight
        one = torch.eye(len(self.sign), dtype=self.lower.dtype, device=self.lower.device)
        upper = self.upper.triu(1) + torch.diag(self.sign * self.log_diagonal.exp())
        return self.order @ ((self.lower.tril(-1) + one) @ upper)


def affine_maps(mixings: Sequence[Mixing]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
    """M and c of several mixings of one size, taken together, and the sum of their log |det M|.

    The last is per position, in nats and float64.
    """
    scale = torch.stack([mixing.log_scale for mixing in mixings])
    weight = torch.stack([mixing.matrix() for mixing in mixings])
    matrix = weight * scale.exp()[:, None]
    offset = (matrix @ torch.stack([mixing.bias for mixing in mixings])[:, :, None]).squeeze(2)
    total = scale.double().sum()
    if mixings[0].form == "lu":
        total = total + torch.stack([mixing.log_diagonal for mixing in mixings]).double().sum()
    else:
        total = total + torch.linalg.slogdet(weight.double())[1].sum()
    return matrix.unbind(), offset.unbind(), total
