"""Operations that move elements and compute nothing: shapes, slices, joins, padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from secondread.exporting.written import Operand, Written, operand

Write = Callable[..., Any]


def _same(w: Written, out: Tensor, x: Tensor, *_: Any, **__: Any) -> str:
    return w.name(x)


def _reshaped(w: Written, out: Tensor, x: Tensor, *_: Any, **__: Any) -> str:
    return w.graph.reshape(w.name(x), out.shape)


def _transposed(w: Written, out: Tensor, x: Tensor, first: int = 0, second: int = 1) -> str:
    order = list(range(x.dim()))
    if x.dim() > 1:
        order[first], order[second] = order[second], order[first]
    return w.graph.node("Transpose", w.name(x), perm=order)


def _permuted(w: Written, out: Tensor, x: Tensor, order: Sequence[int]) -> str:
    return w.graph.node("Transpose", w.name(x), perm=[axis % x.dim() for axis in order])


def _expanded(w: Written, out: Tensor, x: Tensor, *_: Any, **__: Any) -> str:
    return w.graph.node("Expand", w.name(x), w.graph.whole(*out.shape))


def _repeated(w: Written, out: Tensor, x: Tensor, times: Sequence[int]) -> str:
    value = w.graph.reshape(w.name(x), (*[1] * (len(times) - x.dim()), *x.shape))
    return w.graph.node("Tile", value, w.graph.whole(*times))


def cut(w: Written, x: str, axis: int, start: int, end: int, step: int = 1) -> str:
    """`x[start:end:step]` along an axis."""
    whole = w.graph.whole
    return w.graph.node("Slice", x, whole(start), whole(end), whole(axis), whole(step))


def _sliced(
    w: Written, out: Tensor, x: Tensor, axis: int = 0, start: int | None = None, end: int | None = None,
    step: int = 1,
) -> str:  # fmt: skip
    axis %= x.dim()
    first, last, _ = slice(start, end).indices(x.shape[axis])
    return (
        w.name(x)
        if (first, last, step) == (0, x.shape[axis], 1)
        else cut(w, w.name(x), axis, first, last, step)
    )


def _selected(w: Written, out: Tensor, x: Tensor, axis: int, index: int) -> str:
    index %= x.shape[axis]
    return w.graph.reshape(cut(w, w.name(x), axis % x.dim(), index, index + 1), out.shape)


def _narrowed(w: Written, out: Tensor, x: Tensor, axis: int, start: int, length: int) -> str:
    return cut(w, w.name(x), axis % x.dim(), start, start + length)


def _parts(w: Written, out: Sequence[Tensor], x: Tensor, _: Any, axis: int = 0) -> list[str]:
    axis %= x.dim()
    names, start = [], 0
    for part in out:
        names.append(cut(w, w.name(x), axis, start, start + part.shape[axis]))
        start += part.shape[axis]
    return names


def _unbound(w: Written, out: Sequence[Tensor], x: Tensor, axis: int = 0) -> list[str]:
    axis %= x.dim()
    return [
        w.graph.reshape(cut(w, w.name(x), axis, number, number + 1), part.shape)
        for number, part in enumerate(out)
    ]


def _joined(w: Written, out: Tensor, tensors: Sequence[Tensor], axis: int = 0) -> str:
    kept = [tensor for tensor in tensors if tensor.shape != (0,)]
    return w.graph.node("Concat", *(operand(w, t, out.dtype) for t in kept), axis=axis % out.dim())


def _stacked(w: Written, out: Tensor, tensors: Sequence[Tensor], axis: int = 0) -> str:
    axis %= out.dim()
    shape = [*out.shape[:axis], 1, *out.shape[axis + 1 :]]
    return w.graph.node(
        "Concat", *(w.graph.reshape(operand(w, t, out.dtype), shape) for t in tensors), axis=axis
    )


def _padded(w: Written, out: Tensor, x: Tensor, pad: Sequence[int], value: Operand = 0) -> str:
    """torch counts from the last axis; a negative width cuts."""
    before, after = [0] * x.dim(), [0] * x.dim()
    for number in range(len(pad) // 2):
        axis = x.dim() - 1 - number
        before[axis], after[axis] = pad[2 * number], pad[2 * number + 1]
    widths = w.graph.whole(*before, *after)
    return w.graph.node("Pad", w.name(x), widths, w.graph.constant(value, x.dtype), mode="constant")


def _edge_padded(mode: str) -> Write:
    def write(w: Written, out: Tensor, x: Tensor, pad: Sequence[int]) -> str:
        before, after = [0] * x.dim(), [0] * x.dim()
        for number in range(len(pad) // 2):
            axis = x.dim() - 1 - number
            before[axis], after[axis] = pad[2 * number], pad[2 * number + 1]
        return w.graph.node("Pad", w.name(x), w.graph.whole(*before, *after), mode=mode)

    return write


def _flipped(w: Written, out: Tensor, x: Tensor, axes: Sequence[int]) -> str:
    name = w.name(x)
    for axis in axes:
        name = w.graph.node(
            "Gather", name, w.graph.whole(*reversed(range(x.shape[axis]))), axis=axis % x.dim()
        )
    return name


def _rolled(w: Written, out: Tensor, x: Tensor, shifts: Sequence[int], axes: Sequence[int] = ()) -> str:
    if not axes:
        raise NotImplementedError("roll without axes")
    name = w.name(x)
    for shift, axis in zip(shifts, axes, strict=True):
        length = x.shape[axis]
        places = [(place - shift) % length for place in range(length)]
        name = w.graph.node("Gather", name, w.graph.whole(*places), axis=axis % x.dim())
    return name


def _windows(w: Written, out: Tensor, x: Tensor, axis: int, size: int, step: int) -> str:
    """`Tensor.unfold`: windows along an axis, their places last."""
    axis %= x.dim()
    places = torch.arange(out.shape[axis])[:, None] * step + torch.arange(size)
    found = w.graph.node("Gather", w.name(x), w.graph.constant(places, torch.int64), axis=axis)
    order = [*range(axis + 1), *range(axis + 2, x.dim() + 1), axis + 1]
    return w.graph.node("Transpose", found, perm=order)


def by_places(operation: Callable[..., Tensor]) -> Write:
    """Any operation that only says which element goes where: it is run on the places themselves."""

    def write(w: Written, out: Tensor, x: Tensor, *args: Any, **kwargs: Any) -> str:
        with _disable_current_modes():
            laid = torch.empty_strided(x.shape, x.stride(), dtype=torch.int64)
            laid.copy_(torch.arange(x.numel()).view(x.shape))
            places = operation(laid, *args, **kwargs)
        flat = w.graph.reshape(w.name(x), (-1,))
        return w.graph.node("Gather", flat, w.graph.constant(places, torch.int64))

    return write


def columns(w: Written, out: Tensor, x: Tensor, size: Any, dilation: Any, padding: Any, stride: Any) -> str:
    """im2col of `[N, C, H, W]`: `[N, C*h*w, positions]`."""
    name = w.name(x)
    if any(padding):
        widths = w.graph.whole(0, 0, *padding, 0, 0, *padding)
        name = w.graph.node("Pad", name, widths, w.graph.constant(0, x.dtype), mode="constant")
    for axis in (0, 1):
        length = x.shape[2 + axis] + 2 * padding[axis]
        count = (length - dilation[axis] * (size[axis] - 1) - 1) // stride[axis] + 1
        places = torch.arange(size[axis])[:, None] * dilation[axis] + torch.arange(count) * stride[axis]
        name = w.graph.node("Gather", name, w.graph.constant(places, torch.int64), axis=2 + 2 * axis)
    return w.graph.reshape(w.graph.node("Transpose", name, perm=[0, 1, 2, 4, 3, 5]), out.shape)


MOVING: dict[str, Write] = {
    "alias": _same, "detach": _same, "clone": _same, "contiguous": _same, "lift_fresh": _same,
    "lift_fresh_copy": _same, "positive": _same, "view_as_real": _same,
    "view": _reshaped, "_unsafe_view": _reshaped, "reshape": _reshaped, "_reshape_alias": _reshaped,
    "unsqueeze": _reshaped, "squeeze": _reshaped, "flatten": _reshaped,
    "t": _transposed, "transpose": _transposed, "permute": _permuted,
    "expand": _expanded, "repeat": _repeated,
    "slice": _sliced, "select": _selected, "narrow": _narrowed,
    "split": _parts, "split_with_sizes": _parts, "chunk": _parts, "unsafe_split": _parts,
    "unbind": _unbound, "cat": _joined, "stack": _stacked,
    "constant_pad_nd": _padded, "flip": _flipped, "roll": _rolled, "unfold": _windows, "im2col": columns,
    "reflection_pad1d": _edge_padded("reflect"), "reflection_pad2d": _edge_padded("reflect"),
    "reflection_pad3d": _edge_padded("reflect"), "replication_pad1d": _edge_padded("edge"),
    "replication_pad2d": _edge_padded("edge"), "replication_pad3d": _edge_padded("edge"),
    "as_strided": by_places(torch.as_strided), "diagonal": by_places(torch.diagonal),
}  # fmt: skip
