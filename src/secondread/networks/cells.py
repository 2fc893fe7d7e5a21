"""Where the cells of a feature map lie on the image, and maps brought to the image's grid by that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from secondread.networks.on_meta.shapes_only import ShapesOnly

aten = torch.ops.aten


@dataclass(frozen=True)
class Cells:
    """Along each axis, cell i of a map has the centre of its receptive field at `offset + stride * i`, in
    pixels of the image; pixel 0 has its centre at 0. Padding beyond the image counts like pixels."""

    offset: tuple[float, ...]
    stride: tuple[float, ...]

    @classmethod
    def pixels(cls, rank: int) -> Self:
        """The image's own grid."""
        return cls((0.0,) * rank, (1.0,) * rank)

    def seen_through(self, window: Sequence[float], stride: Sequence[int], padding: Sequence[float]) -> Cells:
        """The cells of a map whose windows of `window` of these cells lie `stride` apart, the first of them
        `padding` cells before the first cell."""
        return Cells(
            tuple(
                offset + step * ((width - 1) / 2 - before)
                for offset, step, width, before in zip(self.offset, self.stride, window, padding, strict=True)
            ),
            tuple(step * apart for step, apart in zip(self.stride, stride, strict=True)),
        )


@runtime_checkable
class KnowsItsCells(Protocol):
    """A network that says itself where the cells of its maps lie."""

    def map_cells(self, channels: int, size: Sequence[int]) -> tuple[Cells, ...]:
        """Of each map that it gives of images `[channels, *size]`."""
        ...


def place(x: Tensor, cells: Cells, size: Sequence[int]) -> Tensor:
    """A map `[N, C, *S]` of `cells` on an image's grid, `[N, C, *size]`: linear interpolation between the
    cells' centres; beyond the outermost centres their values."""
    return resample(x, cells, Cells.pixels(len(size)), size)


def resample(x: Tensor, source: Cells, target: Cells, size: Sequence[int]) -> Tensor:
    """A map `[N, C, *S]` of the cells `source`, at the `size` cells `target`: `[N, C, *size]`.

    Linear interpolation along each axis where the target's stride is not the larger one, else the mean over
    what a target cell covers, of the linear interpolation; clamped to the outermost centres. The last axis
    comes first: along the others, whole rows are looked up.
    """
    for axis, length in reversed(list(enumerate(size))):
        stride = target.stride[axis] / source.stride[axis]
        first = (target.offset[axis] - source.offset[axis]) / source.stride[axis]
        parts = max(1, round(stride))
        inside = [(part - (parts - 1) / 2) * stride / parts for part in range(parts)]
        looked_at = [_at(x, 2 + axis, first + step, stride, length) for step in inside]
        x = looked_at[0] if parts == 1 else sum(looked_at[1:], start=looked_at[0]) / parts
    return x


def _at(x: Tensor, axis: int, first: float, stride: float, length: int) -> Tensor:
    """x at fractional indices along one axis, clamped to its ends. Products and sums are taken one by one:
    kernels that fuse them may round the last numbers of a stretch of memory otherwise than those before."""
    found = _between(first, stride, length, x.shape[axis], x.dtype, x.device)
    if found is None:
        return x
    shape = (-1, *[1] * (x.dim() - 1 - axis))
    lower, upper, own, weight = found
    return x.index_select(axis, lower) * own.view(shape) + x.index_select(axis, upper) * weight.view(shape)


@lru_cache(maxsize=64)
def _between(
    first: float, stride: float, length: int, known: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """The neighbours of each of `length` places among `known` numbers, and how much each counts; None where
    places are the numbers' own."""
    last = known - 1
    inside = [min(max(first + stride * cell, 0.0), float(last)) for cell in range(length)]
    below = [min(math.floor(place), max(last - 1, 0)) for place in inside]
    if inside == [float(index) for index in range(known)]:
        return None
    with torch.inference_mode(False):  # a gradient may pass what is kept here
        lower = torch.tensor(below, device=device)
        between = [place - index for place, index in zip(inside, below, strict=True)]
        weight = torch.tensor(between, dtype=dtype, device=device)
        return lower, (lower + 1).clamp_max(last), 1 - weight, weight


def cells_of(network: nn.Module, channels: int, size: Sequence[int]) -> tuple[Cells, ...]:
    """The cells of each map that `network` gives of images `[channels, *size]`.

    As the network says itself (`KnowsItsCells`), or else found by composing the kernels, strides, dilations
    and paddings of the convolutions and pools on the way from the image, without computing them. Where maps
    of other places are joined by channels or added, the place is the mean over the channels that each brings.
    `ValueError` for a step whose cells are not known.
    """
    if isinstance(network, KnowsItsCells):
        return network.map_cells(channels, size)
    return followed_cells(network, channels, size)


def followed_cells(network: nn.Module, channels: int, size: Sequence[int]) -> tuple[Cells, ...]:
    """The cells as the way from the image says: see `cells_of`."""
    return followed_maps(network, channels, size)[1]


def followed_maps(
    network: nn.Module, channels: int, size: Sequence[int]
) -> tuple[tuple[tuple[int, ...], ...], tuple[Cells, ...]]:
    """The spatial sizes of the maps, and their cells as the way from the image says."""
    with torch.inference_mode(False), torch.no_grad():  # in inference mode a walk would see other steps
        state = on_meta(network)
        image = torch.empty(1, channels, *size, device="meta")
        with ShapesOnly(), _Walk(image) as walk:
            maps = functional_call(network, state, (image,))
            return tuple(tuple(one.shape[2:]) for one in maps), tuple(walk.cells(one) for one in maps)


def on_meta(network: nn.Module) -> dict[str, Tensor]:
    """The network's parameters and all of its buffers without their numbers, for `functional_call`."""
    return {
        name: tensor.to("meta")
        for every in (network.named_parameters, network.named_buffers)
        for name, tensor in every(remove_duplicate=False)
    }


class _Walk(TorchDispatchMode):
    """Follows an image through a network, and knows of each map where its cells lie."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.rank = image.dim() - 2
        self.known: dict[int, tuple[Tensor, Cells]] = {id(image): (image, Cells.pixels(self.rank))}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # as in ShapesOnly

    def cells(self, x: Tensor) -> Cells:
        return self.known[id(x)][1]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        maps = [x for x in _tensors(args) if id(x) in self.known]
        if maps:
            cells = self._after(func.overloadpacket, args, maps, result)
            for made in _tensors((result,)):
                if made.dim() == self.rank + 2:
                    self.known[id(made)] = (made, cells)
        return result

    def _after(self, step: Any, args: tuple[Any, ...], maps: list[Tensor], result: Any) -> Cells:
        before = self.cells(maps[0])
        if step is aten.convolution and not args[6]:
            weight, stride, padding, dilation = args[1], *(self._each(args[i]) for i in (3, 4, 5))
            window = [d * (k - 1) + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
            return before.seen_through(window, stride, padding)
        if step in (aten.max_pool2d_with_indices, aten.max_pool3d_with_indices, aten.max_pool2d):
            given = [*args[1:], *((), 0, 1)[len(args) - 2 :]]
            kernel, padding, dilation = (self._each(given[i]) for i in (0, 2, 3))
            window = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
            return before.seen_through(window, self._each(given[1] or kernel), padding)
        if step in (aten.avg_pool2d, aten.avg_pool3d):
            given = [*args[1:], *((), 0)[len(args) - 2 :]]
            kernel = self._each(given[0])
            return before.seen_through(kernel, self._each(given[1] or kernel), self._each(given[2]))
        if step in _PADDING:
            around = [*args[1], *[0] * (2 * self.rank - len(args[1]))]
            one = [1] * self.rank
            return before.seen_through(one, one, around[0 : 2 * self.rank : 2][::-1])
        shape = maps[0].shape[2:]
        if any(x.shape[2:] != shape for x in (*maps, *_tensors((result,))) if x.dim() == self.rank + 2):
            raise ValueError(f"where {step} puts the cells of a map is not known")
        return self._mean(maps)

    def _mean(self, maps: list[Tensor]) -> Cells:
        every = [(self.cells(x), x.shape[1]) for x in maps]
        total = sum(channels for _, channels in every)
        stride = every[0][0].stride
        if any(cells.stride != stride for cells, _ in every):
            raise ValueError("maps of different strides have been joined")
        return Cells(
            tuple(
                sum(cells.offset[axis] * channels for cells, channels in every) / total
                for axis in range(self.rank)
            ),
            stride,
        )

    def _each(self, given: int | Sequence[int]) -> list[int]:
        """A setting of a layer by axis."""
        values = [given] if isinstance(given, int) else list(given)
        return values * self.rank if len(values) == 1 else values


_PADDING = (
    aten.constant_pad_nd,
    aten.replication_pad1d,
    aten.replication_pad2d,
    aten.replication_pad3d,
    aten.reflection_pad1d,
    aten.reflection_pad2d,
    aten.reflection_pad3d,
)


def _tensors(values: Sequence[Any]) -> list[Tensor]:
    """The tensors among the values, and in lists of them."""
    found = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += _tensors(value)
    return found
