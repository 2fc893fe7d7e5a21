"""Means that leave padding out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from secondread.networks.as_graph import written_as_graph
from secondread.networks.by_rank import area_resize, channel_mean
from secondread.networks.cells import Cells, place
from secondread.networks.gaussian_blur import gaussian_blur


def valid_on(valid: Tensor | None, size: tuple[int, ...]) -> Tensor | None:
    """`valid` `[N, 1, *S]` on a map's grid `[N, 1, *size]`: cells that are at least half valid.

    Where an image has no such cell, its most valid ones; so every image has at least one.
    """
    if valid is None:
        return None
    share = area_resize(valid.float(), size)
    most = share.flatten(1).amax(dim=1).view(-1, *[1] * (share.dim() - 1))
    return share >= most.clamp_max(0.5)


def lowest_in_padding(values: Tensor, there: Tensor | None) -> Tensor:
    """`[N, 1, *S]` with each image's lowest value in the place of those that are not `there`, of that shape
    and one at least (None = all): before interpolation and blur, which would bring them into the image."""
    if there is None:
        return values
    lowest = values.masked_fill(~there, torch.inf).flatten(1).amin(dim=1)
    return torch.where(there, values, lowest.view(-1, *[1] * (values.dim() - 1)))


def placed(
    values: Tensor, there: Tensor | None, cells: Cells, size: Sequence[int], smoothing: float = 0.0
) -> Tensor:
    """Values `[N, 1, *grid]` of `cells` on an image's grid, `[N, 1, *size]`: interpolated between the cells'
    centres and blurred by a Gaussian of `smoothing` pixels, with the image's lowest value in padding."""
    return gaussian_blur(place(lowest_in_padding(values, there), cells, size), smoothing)


def foreground_of(images: Tensor, valid: Tensor | None, above: float | None) -> Tensor | None:
    """bool `[N, 1, *S]`: what is valid and, where `above` is given, has a sum over channels above it; None
    where all is."""
    if above is None:
        return valid
    bright = images.sum(dim=1, keepdim=True) > above
    return bright if valid is None else bright & valid


def or_everywhere(foreground: Tensor) -> Tensor:
    """A foreground `[N, 1, *S]`; everywhere in an image that has none."""
    some = foreground.flatten(1).any(dim=1).view(-1, *[1] * (foreground.dim() - 1))
    return foreground | ~some


def mean_over(values: Tensor, valid: Tensor | None) -> Tensor:
    """Mean of `[N, C, *S]` over channels and valid positions (`[N, 1, *S]` or None = all): `[N]`."""
    values = channel_mean(values.float())
    if valid is None:
        return values.flatten(1).mean(dim=1)
    weight = valid.float()
    return (values * weight).flatten(1).sum(dim=1) / weight.flatten(1).sum(dim=1).clamp_min(1)


def highest_over(values: Tensor, valid: Tensor | None, share: float) -> Tensor:
    """Mean of the highest `share` of `[N, 1, *S]` (of its valid positions, at least one): `[N]`.

    `share` = 0 gives the maximum.
    """
    flat = values.float().flatten(1)
    if valid is not None:
        flat = flat.masked_fill(~valid.flatten(1), -torch.inf)
    if share == 0:
        return flat.amax(dim=1)
    if valid is None:
        kept = torch.full((len(flat),), flat.shape[1], device=flat.device)
    else:
        kept = valid.flatten(1).sum(dim=1)
    count = (kept * share).ceil().long().clamp_min(1)
    longest = max(1, math.ceil(flat.shape[1] * share)) if written_as_graph() else int(count.max())
    most = flat.topk(longest, dim=1).values
    chosen = torch.arange(most.shape[1], device=flat.device) < count[:, None]
    return most.masked_fill(~chosen, 0).sum(dim=1) / count


def quantile_over(values: Tensor, valid: Tensor | None, share: float) -> Tensor:
    """The value of `[N, 1, *S]` (of its valid positions) that `share` of them lie below, linear between two
    ranks: `[N]`; 0 of an image without any."""
    flat = values.float().flatten(1)
    kept = torch.full((len(flat),), flat.shape[1], device=flat.device)
    if valid is not None:
        flat = flat.masked_fill(~valid.flatten(1), torch.inf)
        kept = valid.flatten(1).sum(dim=1)
    place = (share * (kept - 1).clamp_min(0).double())[:, None]
    ranked = flat.sort(dim=1).values
    low, high = (ranked.gather(1, end.long())[:, 0] for end in (place.floor(), place.ceil()))
    found = torch.lerp(low, high, (place - place.floor())[:, 0].to(low))
    return found.where(kept > 0, 0)


def standardised_over(values: Tensor, valid: Tensor | None) -> Tensor:
    """Each image's `[N, C, *S]` brought to mean 0 and deviation 1 over all its channels and valid positions
    (`[N, 1, *S]` or None = all)."""
    weight = torch.ones_like(values[:, :1]) if valid is None else valid.to(values)
    places = (-1, *[1] * (values.dim() - 1))
    count = weight.flatten(1).sum(dim=1).view(places) * values.shape[1]
    mean = (values * weight).flatten(1).sum(dim=1).view(places) / count
    variance = ((values - mean).square() * weight).flatten(1).sum(dim=1).view(places) / count
    return (values - mean) / (variance + 1e-5).sqrt()
