"""An image changed by gradient until a model of normals finds it likely: what changes is abnormal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from secondread.settings.base import Draws, Settings

Energy = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]
"""Images `[N, C, *size]` and their valid places to the model's loss of each, `[N]`, and what it rebuilds."""
Weights = Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1, max_length=100)]


class RestorationSettings(Settings):
    """Steps, rate and weight are those of Baur et al. for images in [0, 1]."""

    steps: Draws = 150
    rate: PositiveFloat = Field(1e-3, description="of gradient descent on the image's values")
    weight: float | None = Field(
        1.8,
        ge=0,
        description="of the total variation; empty = the one of `weights` that changes normals least",
    )
    weights: Weights = Field(
        tuple(number / 10 for number in range(20)), description="among which one is chosen"
    )
    images: Draws = Field(16, description="held-out normals on which it is chosen, at most")
    variation: Literal["start", "reconstruction"] = Field(
        "start",
        description="total variation of the image minus the image as it was (You et al.), or minus its "
        "reconstruction (Baur et al.)",
    )


def refuse_maps(maps: Sequence[str], score: str) -> None:
    """ValueError for a map that is named twice, or a score by restoration without its map."""
    if len(set(maps)) < len(maps):
        raise ValueError("maps names one twice")
    if score == "restoration" and "restoration" not in maps:
        raise ValueError("score: restoration needs its map: add restoration to maps")


def first_weight(maps: Sequence[str], settings: RestorationSettings) -> Tensor | None:
    """The buffer `weight` before a fit: the weight that is given, or 0 until one is chosen; None where no
    restoration is asked for."""
    if "restoration" not in maps:
        return None
    return torch.tensor(0.0 if settings.weight is None else settings.weight)


def restored(
    x: Tensor, valid: Tensor | None, energy: Energy, settings: RestorationSettings, weight: float
) -> Tensor:
    """The image after `steps` steps of

        x <- x - rate * d/dx [energy(x) + weight * TV(x - r)]

    with r the image as it was, or the reconstruction of x (`variation`), and TV the sum of the absolute
    differences of neighbours along each axis. Padding stays as it is. Nothing is drawn, so that
    an image's restoration is its own.

    Steps have one length, and TV has a kink where neighbours have changed alike: x goes to and fro there by
    some multiples of rate * weight, and the sum of energy and TV may end above its start.

    Sources: S. You, K. C. Tezcan, X. Chen, E. Konukoglu, Unsupervised lesion detection via image restoration
    with a normative prior, MIDL 2019; steps, rate and the other form of TV as in C. Baur et al., Autoencoders
    for unsupervised anomaly segmentation in brain MR images, Medical Image Analysis 2021.
    """
    start = x
    for _ in range(settings.steps):
        with torch.enable_grad():
            y = x.detach().requires_grad_()
            total, rebuilt = energy(y, valid)
            other = rebuilt if settings.variation == "reconstruction" else start
            (slope,) = torch.autograd.grad((total + weight * total_variation(y - other)).sum(), y)
        x = x - settings.rate * (slope if valid is None else slope * valid)
    return x.detach()


def total_variation(x: Tensor) -> Tensor:
    """The sum over channels, places and axes of |x_i - x_(i+1)|, `[N]`."""
    along = [x.diff(dim=axis).abs().flatten(1).sum(dim=1) for axis in range(2, x.dim())]
    return torch.stack(along).sum(dim=0)


def changes_of_normals(
    images: Iterator[tuple[Tensor, Tensor | None]], energy: Energy, settings: RestorationSettings
) -> dict[float, float]:
    """For each of `weights` the mean |x - restored x| over some normals."""
    changes = dict.fromkeys(settings.weights, 0.0)
    left, seen = settings.images, 0
    for x, valid in images:
        if not left:
            break
        x, valid = x[:left], None if valid is None else valid[:left]
        left, seen = left - len(x), seen + len(x)
        for weight in changes:
            change = (x - restored(x, valid, energy, settings, weight)).abs().flatten(1).mean(dim=1)
            changes[weight] += float(change.sum())
    return {weight: change / max(seen, 1) for weight, change in changes.items()}


def choose_weight(
    weight: Tensor,
    images: Iterator[tuple[Tensor, Tensor | None]],
    energy: Energy,
    settings: RestorationSettings,
) -> dict[str, float]:
    """Puts the one of `weights` that changes these normals least into the buffer `weight`; figures for the
    log."""
    changes = changes_of_normals(images, energy, settings)
    best = min(changes, key=lambda each: changes[each])
    weight.fill_(best)
    return {"weight of the total variation": best, "change of normals": changes[best]}
