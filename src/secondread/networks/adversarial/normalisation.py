"""The normalisations of generators, critics and their encoders."""

from __future__ import annotations

from typing import Literal

from torch import nn

from secondread.networks.by_rank import BATCH_NORM

Norm = Literal["batch", "layer", "none"]


def normalisation(norm: Norm, rank: int, channels: int) -> nn.Module:
    """Batch normalisation; or, of each image by itself, over all its channels and positions, with a scale and
    an offset for each channel, which a gradient penalty for each image asks for; or none."""
    match norm:
        case "batch":
            return BATCH_NORM[rank](channels)
        case "layer":
            return nn.GroupNorm(1, channels)
        case "none":
            return nn.Identity()
