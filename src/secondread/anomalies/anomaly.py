"""What a way of making synthetic anomalies takes and gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeVar

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from secondread.settings.base import Settings


@dataclass(frozen=True)
class Anomalies:
    """Images of which some were changed, and where.

    images  `[N, C, *S]`, of the type of the originals; equal to them, bit for bit, where `mask` is False
    mask    bool `[N, 1, *S]`, where the image was changed; all False for an image that was left as it was
    target  float32 `[N, 1, *S]` in [0, 1], what a network learns to give; 0 where `mask` is False
    classes int64 `[N]`, which of a kind's variants each image got, 0 for an image that was left as it was;
            None of a kind that has no variants
    """

    images: Tensor
    mask: Tensor
    target: Tensor
    classes: Tensor | None = None

    @property
    def changed(self) -> Tensor:
        """bool `[N]`: the images with an anomaly."""
        return self.mask.flatten(1).any(dim=1)

    def each(self, change: Callable[[Tensor], Tensor]) -> Anomalies:
        """With `change` of each tensor."""
        classes = None if self.classes is None else change(self.classes)
        return Anomalies(change(self.images), change(self.mask), change(self.target), classes)


Pair = TypeVar("Pair", tuple[int, int], tuple[float, float])


def rising(pair: Pair) -> Pair:
    """ValueError for a pair whose first number is above the second."""
    if pair[0] > pair[1]:
        raise ValueError("the first number should not be above the second")
    return pair


Range = Annotated[tuple[float, float], AfterValidator(rising)]
"""The lowest and the highest value of a uniform draw."""

Share = Annotated[float, Field(ge=0, le=1)]
ShareRange = Annotated[tuple[Share, Share], AfterValidator(rising)]


class AnomalySettings(Settings):
    """What every way has: its name, and how many images it changes. Each adds its own in a subclass."""

    name: str
    share: Share = Field(0.5, description="probability that an image is changed")

    def variants(self) -> tuple[AnomalySettings, ...]:
        """Settings of each variant of the kind by itself, changing every image, in the order of
        `Anomalies.classes`: what a classifier tells apart. The kind itself where it has no variants."""
        return (self.model_copy(update={"share": 1.0}),)


class MakeAnomalies:
    """A way of making anomalies: built from its settings, then called on batches.

    A subclass has `Settings`, a `title` and, where there is one, the `paper`; called it takes and gives:

    images        float `[N, C, *S]`, prepared images of any rank, which stay as they are
    generator     all randomness, on any device; one of the CPU draws the same for images on every device.
                  Equal generators, equal anomalies
    donors        float `[M, C, *S]`, images to take something from; none = the batch's own others,
                  or what the kind draws itself
    valid         bool `[N, 1, *S]`, False where preprocessing padded (or what else must stay as it is, such
                  as the air around a head): nothing is changed there; None = valid everywhere
    donors_valid  the same of the donors `[M, 1, *S]`: nothing is taken from there

    Raises ValueError for shapes that do not fit each other.

    >>> import torch
    >>> from secondread.anomalies.build import build_anomalies
    >>> make = build_anomalies({"name": "blobs", "share": 1.0}, "here")
    >>> images = torch.rand(2, 1, 32, 32)
    >>> made = make(images, torch.Generator().manual_seed(0))
    >>> made.changed
    tensor([True, True])
    """

    Settings: ClassVar[type[AnomalySettings]]
    title: ClassVar[str]
    paper: ClassVar[str] = ""
    from_others: bool = False
    """Takes a part of another image: a batch has at least two, or donors are given."""

    def __init__(self, settings: AnomalySettings | None = None) -> None:
        self.settings = self.Settings.model_validate({}) if settings is None else settings

    def __call__(
        self,
        images: Tensor,
        generator: torch.Generator,
        *,
        donors: Tensor | None = None,
        valid: Tensor | None = None,
        donors_valid: Tensor | None = None,
    ) -> Anomalies:
        raise NotImplementedError


def refuse_misfits(
    images: Tensor, valid: Tensor | None, donors: Tensor | None = None, donors_valid: Tensor | None = None
) -> None:
    """ValueError unless images and donors are floats of one shape and each mask has its images' grid."""
    for name, given, mask in (("images", images, valid), ("donors", donors, donors_valid)):
        if given is None:
            if mask is not None:
                raise ValueError(f"a mask of valid {name} without {name}")
            continue
        if given.dim() < 3 or not given.is_floating_point():
            raise ValueError(
                f"{name} are {given.dtype} of shape {tuple(given.shape)}, not float [N, C, *size]"
            )
        if given.shape[1:] != images.shape[1:]:
            raise ValueError(
                f"donors are {tuple(given.shape[1:])} each, and images {tuple(images.shape[1:])}"
            )
        grid = (len(given), 1, *given.shape[2:])
        if mask is not None and (mask.dtype != torch.bool or tuple(mask.shape) != grid):
            raise ValueError(
                f"the mask of valid {name} is {mask.dtype} of shape {tuple(mask.shape)}, not bool {grid}"
            )


def uniform(generator: torch.Generator, images: Tensor, columns: int) -> Tensor:
    """float32 `[N, columns]` from U[0, 1), drawn where the generator lives, on the images' device."""
    return torch.rand(len(images), columns, generator=generator, device=generator.device).to(images.device)


def between(drawn: Tensor, limits: tuple[float, float]) -> Tensor:
    """U[0, 1) to U[low, high)."""
    return limits[0] + (limits[1] - limits[0]) * drawn


def per_image(values: Tensor, rank: int) -> Tensor:
    """`[N]` as `[N, 1, 1, …]`, to go with `[N, C, *S]` of `rank` spatial axes."""
    return values.view(-1, *[1] * (rank + 1))
