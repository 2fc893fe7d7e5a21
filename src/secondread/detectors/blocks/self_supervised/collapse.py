"""Whether a representation that was learned without labels has collapsed, from a sign that needs none."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

NARROW = 0.02
"""Of the spread of directions that are spread evenly: below it, embeddings hardly differ. Those of like
images behind ReLU are never spread evenly; what was learned on chest films had 0.22."""


class RepresentationSpread(nn.Module):
    """What is measured on held-out normals when a stage is done: a figure for the log, a buffer, a warning.

    The spread of embeddings of unit length is their standard deviation over images, in the mean over
    dimensions, times the root of the dimensions: 1 where directions are spread evenly, 0 where all images
    have one embedding. nan where it was not measured.
    """

    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("spread", torch.full((), math.nan))

    def of(self, rows: Tensor) -> dict[str, float]:
        """Of embeddings `[n, D]`, of any length."""
        if len(rows) > 1:
            directions = functional.normalize(rows.detach().float(), dim=1)
            deviation = directions.std(dim=0, correction=0).mean()
            self.spread.copy_(deviation * math.sqrt(rows.shape[1]))
        return {"spread of embeddings' directions": float(self.spread)}

    def warnings(self) -> tuple[str, ...]:
        if not self.spread < NARROW:
            return ()
        return (
            "the representation has collapsed: embeddings of held-out normals differ from one another by "
            f"{float(self.spread):.2g} of what directions that are spread evenly do; train with another rate "
            "or seed, or with larger batches",
        )
