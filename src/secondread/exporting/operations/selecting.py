"""Operations that choose elements by index, or put them there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from secondread.exporting.no_graph import NoGraphError
from secondread.exporting.written import Operand, Written, operand

Write = Callable[..., Any]
BY_MASK = "chooses as many elements as a mask of the image marks"


def _gathered(w: Written, out: Tensor, x: Tensor, axis: int, index: Tensor, **_: Any) -> str:
    return w.graph.node("GatherElements", w.name(x), w.name(index), axis=axis % max(1, x.dim()))


def _index_selected(w: Written, out: Tensor, x: Tensor, axis: int, index: Tensor) -> str:
    """Along the last axis of several it is taken along the one before, between two transpositions: there
    onnxruntime copies number by number, and here rows."""
    axis %= x.dim()
    if axis == 0 or axis < x.dim() - 1:
        return w.graph.node("Gather", w.name(x), w.name(index), axis=axis)
    order = [*range(axis - 1), axis, axis - 1]
    turned = w.graph.node("Transpose", w.name(x), perm=order)
    return w.graph.node("Transpose", w.graph.node("Gather", turned, w.name(index), axis=axis - 1), perm=order)


def _embedded(w: Written, out: Tensor, weight: Tensor, index: Tensor, *_: Any) -> str:
    return w.graph.node("Gather", w.name(weight), w.name(index), axis=0)


def _indexed(w: Written, out: Tensor, x: Tensor, indices: Sequence[Tensor | None]) -> str:
    """x[..., i, j, ...]: indices that are given lie next to one another, or there is one."""
    axes = _axes_of(indices)
    if len(axes) == 1:
        index = indices[axes[0]]
        assert index is not None
        return w.graph.node("Gather", w.name(x), _from_front(w, index, x.shape[axes[0]]), axis=axes[0])
    together = axes == list(range(axes[0], axes[-1] + 1))
    others = [axis for axis in range(x.dim()) if axis not in axes]
    first = w.graph.node("Transpose", w.name(x), perm=[*axes, *others])
    found = w.graph.node("GatherND", first, _places(w, x, indices, axes))
    if not together or axes[0] == 0:
        return found
    rank = out.dim() - len(others)  # of the indices
    before = axes[0]
    order = [*range(rank, rank + before), *range(rank), *range(rank + before, out.dim())]
    return w.graph.node("Transpose", found, perm=order)


def _index_put(
    w: Written, out: Tensor, x: Tensor, indices: Sequence[Tensor | None], values: Tensor,
    accumulate: bool = False, *_: Any,
) -> str:  # fmt: skip
    axes = _axes_of(indices)
    if accumulate:
        raise NotImplementedError("index_put that adds")
    others = [axis for axis in range(x.dim()) if axis not in axes]
    shape = torch.broadcast_shapes(*(i.shape for i in indices if i is not None))
    if axes != list(range(axes[0], axes[-1] + 1)):
        raise NotImplementedError("index_put at axes apart")
    order = [*axes, *others]
    rest = [x.shape[axis] for axis in others]
    given = [*rest[: axes[0]], *shape, *rest[axes[0] :]]
    value = operand(w, values, x.dtype)
    value = w.graph.node("Expand", value, w.graph.whole(*given))
    if axes[0]:
        n, r = axes[0], len(shape)
        value = w.graph.node(
            "Transpose", value, perm=[*range(n, n + r), *range(n), *range(n + r, len(given))]
        )
    first = w.graph.node("Transpose", w.name(x), perm=order)
    put = w.graph.node("ScatterND", first, _places(w, x, indices, axes), value)
    back = [order.index(axis) for axis in range(x.dim())]
    return w.graph.node("Transpose", put, perm=back)


def _axes_of(indices: Sequence[Tensor | None]) -> list[int]:
    if any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices):
        raise NoGraphError(BY_MASK)
    return [axis for axis, index in enumerate(indices) if index is not None]


def _places(w: Written, x: Tensor, indices: Sequence[Tensor | None], axes: Sequence[int]) -> str:
    """int64 `[*index shape, axes]`."""
    given = [(axis, index) for axis in axes if (index := indices[axis]) is not None]
    shape = torch.broadcast_shapes(*(index.shape for _, index in given))
    columns = []
    for axis, index in given:
        spread = w.graph.node("Expand", _from_front(w, index, x.shape[axis]), w.graph.whole(*shape))
        columns.append(w.graph.reshape(spread, (*shape, 1)))
    return w.graph.node("Concat", *columns, axis=-1) if len(columns) > 1 else columns[0]


def _from_front(w: Written, index: Tensor, length: int) -> str:
    """Indices as int64, counted from the front."""
    name = w.graph.cast(w.name(index), index.dtype, torch.int64)
    negative = w.graph.node("Less", name, w.graph.constant(0, torch.int64))
    moved = w.graph.node("Add", name, w.graph.constant(length, torch.int64))
    return w.graph.node("Where", negative, moved, name)


def _scattered(
    w: Written, out: Tensor, x: Tensor, axis: int, index: Tensor, source: Operand, **more: Any
) -> str:
    if more.get("reduce"):
        raise NotImplementedError("scatter that reduces")
    if isinstance(source, Tensor):
        value = operand(w, source, x.dtype)
        if source.shape != index.shape:
            for along, length in enumerate(index.shape):
                whole = w.graph.whole
                value = w.graph.node("Slice", value, whole(0), whole(length), whole(along))
    else:
        value = w.graph.constant(torch.full(index.shape, source, dtype=x.dtype), x.dtype)
    return w.graph.node("ScatterElements", w.name(x), w.name(index), value, axis=axis % x.dim())


def _scattered_sum(w: Written, out: Tensor, x: Tensor, axis: int, index: Tensor, source: Tensor) -> str:
    value = operand(w, source, x.dtype)
    return w.graph.node(
        "ScatterElements", w.name(x), w.name(index), value, axis=axis % x.dim(), reduction="add"
    )


def _index_added(
    w: Written, out: Tensor, x: Tensor, axis: int, index: Tensor, source: Tensor, **_: Any
) -> str:
    axis %= x.dim()
    shape = [1] * x.dim()
    shape[axis] = -1
    places = w.graph.node("Expand", w.graph.reshape(w.name(index), shape), w.graph.whole(*source.shape))
    value = operand(w, source, x.dtype)
    return w.graph.node("ScatterElements", w.name(x), places, value, axis=axis, reduction="add")


def _slice_put(
    w: Written, out: Tensor, x: Tensor, source: Tensor, axis: int = 0, start: int | None = None,
    end: int | None = None, step: int = 1,
) -> str:  # fmt: skip
    axis %= x.dim()
    places = torch.arange(x.shape[axis])[slice(start, end, step)]
    shape = [1] * x.dim()
    shape[axis] = -1
    index = w.graph.constant(places.view(shape).expand(source.shape), torch.int64)
    return w.graph.node("ScatterElements", w.name(x), index, operand(w, source, x.dtype), axis=axis)


SELECTING: dict[str, Write] = {
    "gather": _gathered, "index_select": _index_selected, "embedding": _embedded, "index": _indexed,
    "_unsafe_index": _indexed, "index_put": _index_put, "_index_put_impl": _index_put, "scatter": _scattered,
    "scatter_add": _scattered_sum, "index_add": _index_added, "slice_scatter": _slice_put,
}  # fmt: skip
