"""Parts of an image that are pasted somewhere else in it: their sizes, and what comes to lie where."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from secondread.anomalies.anomaly import Share, between, per_image
from secondread.anomalies.placement import Box, positions
from secondread.anomalies.values import values_of


def sides(area: Tensor, aspects: Tensor, box: Box) -> Tensor:
    """Lengths in positions, float32 `[N, rank]`, of boxes that take the share `area` `[N]` of another box.

    aspects `[N, rank - 1]`: logarithms of the ratio of each axis but the first to the geometric mean of those
    before it. The shape is that in positions. At least 1, at most the other box's side.
    """
    rank = box.side.shape[1]
    mean = (area * box.side.prod(dim=1)).clamp_min(1e-6).log() / rank
    logarithms = mean[:, None].expand(-1, rank).clone()
    for axis in range(1, rank):
        logarithms[:, axis] += aspects[:, axis - 1] * axis / (axis + 1)
        logarithms[:, :axis] -= aspects[:, axis - 1 : axis] / (axis + 1)
    return torch.minimum(logarithms.exp().round(), box.side).clamp_min(1)


def log_aspects(drawn: Tensor, limits: tuple[float, float]) -> Tensor:
    """U[0, 1) to logarithms of ratios, each as likely as its inverse where the limits are inverse."""
    return between(drawn, (math.log(limits[0]), math.log(limits[1])))


def corners(drawn: Tensor, side: Tensor, box: Box) -> Tensor:
    """The lowest positions `[N, rank]` of boxes that lie anywhere within another, each as likely."""
    room = (box.side - side).clamp_min(0) + 1
    return box.low + torch.minimum((drawn * room).floor(), room - 1)


def turned_offsets(centre: Tensor, turn: Tensor, size: Sequence[int]) -> list[Tensor]:
    """Each position's offset from `centre` `[N, rank]` along the turned (and scaled) axes, the columns of
    `turn` `[N, rank, axes]`: for each of these axes float32 `[N, 1, *size]`."""
    rank = len(size)
    offsets = [
        position - per_image(centre[:, axis], rank)
        for axis, position in enumerate(positions(size, centre.device))
    ]
    found = []
    for own in range(turn.shape[2]):
        along = torch.zeros(len(centre), 1, *size, device=centre.device)
        for axis, offset in enumerate(offsets):
            along += per_image(turn[:, axis, own], rank) * offset
        found.append(along)
    return found


def rotations(degrees: Tensor, rank: int) -> Tensor:
    """Matrices `[N, rank, rank]` that turn by `degrees` `[N, planes]`, in the plane of each pair of axes."""
    radians = torch.deg2rad(degrees)
    found = torch.eye(rank, device=degrees.device).expand(len(degrees), -1, -1)
    planes = [(one, other) for one in range(rank) for other in range(one + 1, rank)]
    for number, (one, other) in enumerate(planes):
        turn = torch.eye(rank, device=degrees.device).repeat(len(degrees), 1, 1)
        cosine, sine = radians[:, number].cos(), radians[:, number].sin()
        turn[:, one, one], turn[:, other, other] = cosine, cosine
        turn[:, one, other], turn[:, other, one] = -sine, sine
        found = found @ turn
    return found


def taken(x: Tensor, centre: Tensor, offsets: list[Tensor]) -> Tensor:
    """x at `centre` + `offsets`, at the nearest position; of x's edge beyond it. As x, `[N, C, *S]`."""
    size = x.shape[2:]
    place = torch.zeros(len(x), 1, *size, dtype=torch.long, device=x.device)
    for axis, length in enumerate(size):
        at = (offsets[axis] + per_image(centre[:, axis], len(size)) + 1e-3).round()
        place = place * length + at.clamp(0, length - 1).long()
    flat = place.flatten(2).expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, flat).view_as(x)


def jittered(
    taken: Tensor, inside: Tensor, drawn: Tensor, jitter: Share, x: Tensor, valid: Tensor | None
) -> Tensor:
    """What is taken, with its brightness and its contrast (in this order) times a factor from
    [1 - jitter, 1 + jitter] each: `drawn` `[N, 2]` from U[0, 1).

    Brightness counts from the lowest value of the image x, contrast from the patch's mean; what leaves the
    image's range is clipped to it.
    """
    rank = x.dim() - 2
    factor = between(drawn, (1 - jitter, 1 + jitter))
    lowest, highest, _ = values_of(x, valid)
    brighter = (lowest + (taken - lowest) * per_image(factor[:, 0], rank)).clamp(lowest, highest)
    axes = tuple(range(2, x.dim()))
    weight = inside.sum(dim=axes, keepdim=True).clamp_min(1)
    mean = ((brighter * inside).sum(dim=axes, keepdim=True) / weight).mean(dim=1, keepdim=True)
    return (mean + (brighter - mean) * per_image(factor[:, 1], rank)).clamp(lowest, highest).to(x.dtype)
