"""A residual block by autograd alone, and blocks made for tests: what `flows.residual` is held against."""

from __future__ import annotations

import torch
from torch import Tensor

from secondread.flows.glow.planes import to_planes
from secondread.flows.residual.block import ResidualBlock
from secondread.flows.residual.function import Weights

SIZES = {0: (), 2: (3, 4), 3: (2, 3, 2)}


def make_block(rank: int = 2, channels: int = 3, gain: float = 3.0, **options) -> ResidualBlock:
    """In float64, with larger weights than at the start, its power iteration far along."""
    block = ResidualBlock(
        channels, SIZES[rank], width=5, generator=torch.Generator().manual_seed(0), **options
    ).double()
    with torch.no_grad():
        for layer in block.layers:
            layer.weight.mul_(gain)
        for _ in range(10):
            block.weights(update=True)
    return block


def planes(block: ResidualBlock, images: int = 2, seed: int = 1) -> Tensor:
    channels, _, *size = block.layers[0].direction.shape
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(channels, images, *size, dtype=torch.float64, generator=generator)


def plain(block: ResidualBlock, x: Tensor, weights: Weights) -> Tensor:
    """g(x) by torch's own operations, which autograd knows twice."""
    slopes = weights.bs
    x = x.movedim(1, 0)
    rank = x.dim() - 2
    convolve = {0: torch.nn.functional.linear, 2: torch.conv2d, 3: torch.conv3d}[max(rank, 0)]
    for number, (layer, matrix, bias) in enumerate(
        zip(block.layers, weights.matrices, weights.biases, strict=True)
    ):
        if number or block.network.preactivated:
            b = slopes[number]
            x = torch.nn.functional.elu(x) if b is None else x * torch.sigmoid(b * x) / 1.1
        kind = layer.place.kind
        if rank < 1:
            x = convolve(x, matrix.t() if kind == "leave" else matrix, bias)
        elif kind == "inside":
            x = convolve(x, matrix.view(*matrix.shape, *(1,) * rank), bias)
        else:
            kernel = matrix.view(len(matrix), -1, *(3,) * rank)
            if kind == "leave":
                kernel = kernel.movedim(1, 0).flip(*range(2, 2 + rank))
            x = convolve(x, kernel, bias, padding=1)
    return to_planes(x)


def jacobians(block: ResidualBlock, x: Tensor, weights: Weights) -> Tensor:
    """Of g at each image, `[N, D, D]`, with gradient."""
    found = []
    for number in range(x.shape[1]):

        def g(row: Tensor, shape=x[:, :1].shape) -> Tensor:
            return plain(block, row.view(shape), weights).flatten()

        row = x[:, number].flatten()
        found.append(torch.autograd.functional.jacobian(g, row, create_graph=True))
    return torch.stack(found)


def basis(x: Tensor) -> list[Tensor]:
    """Vectors in place of random ones, over which the estimate sums to the exact trace."""
    dimensions = x[:, 0].numel()
    return [
        row.view(x[:, :1].shape).expand(x.shape).contiguous()
        for row in torch.eye(dimensions, dtype=torch.float64)
    ]
