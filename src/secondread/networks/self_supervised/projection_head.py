"""The head of contrastive learning: from an embedding to a direction in which views of an image agree."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


class ProjectionHead(nn.Module):
    """`[N, D]` to directions `[N, widths[-1]]` of unit length: linear layers without a bias, with batch
    normalisation and ReLU between them."""

    def __init__(self, dimensions: int, widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise((dimensions, *widths[:-1])):
            layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU()]
        self.layers = nn.Sequential(
            *layers, nn.Linear((dimensions, *widths)[len(widths) - 1], widths[-1], bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(self.layers(x), dim=1)
