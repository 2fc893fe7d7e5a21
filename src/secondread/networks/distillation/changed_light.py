"""Images in another light: brightness, contrast or saturation by a random factor."""

from __future__ import annotations

import torch
from torch import Tensor


def changed_light(images: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Images `[N, C, *S]` in [0, 1], one of these of each multiplied by 1 - `most` to 1 + `most`: brightness,
    contrast around the image's mean, or, of three channels, saturation. They stay in [0, 1]."""
    kinds = 3 if images.shape[1] == 3 else 2
    drawn = torch.rand(2, len(images), generator=generator, device=generator.device).to(images.device)
    each = (-1, *[1] * (images.dim() - 1))
    kind = (drawn[0] * kinds).long().view(each)
    factor = (1 + (2 * drawn[1] - 1) * most).view(each)
    mean = images.flatten(1).mean(dim=1).view(each)
    grey = images.mean(dim=1, keepdim=True)
    kept = torch.where(kind == 0, torch.zeros_like(grey), torch.where(kind == 1, mean, grey))
    return (kept + factor * (images - kept)).clamp(0, 1)
