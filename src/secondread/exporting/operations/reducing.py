"""Sums, means, extremes, ranks along axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from secondread.exporting.written import Written, floating

Write = Callable[..., Any]
Axes = Sequence[int] | int | None


def _axes(x: Tensor, axes: Axes) -> list[int]:
    if axes is None or (not isinstance(axes, int) and len(axes) == 0):
        return list(range(x.dim()))
    return [axis % max(1, x.dim()) for axis in ([axes] if isinstance(axes, int) else axes)]


def reduced(w: Written, kind: str, name: str, axes: Sequence[int], keep: bool) -> str:
    """One of ONNX's `Reduce...`."""
    return w.graph.node(kind, name, w.graph.whole(*axes), keepdims=int(keep))


def _reduction(kind: str) -> Write:
    def write(w: Written, out: Tensor, x: Tensor, axes: Axes = None, keep: bool = False, **_: Any) -> str:
        if x.dim() == 0:
            return floating(w, x, out)
        return reduced(w, kind, floating(w, x, out), _axes(x, axes), keep)

    return write


def _extreme(kind: str, best: str) -> Write:
    """max or min: of everything, or along an axis with where."""

    def write(w: Written, out: Any, x: Tensor, axis: int | None = None, keep: bool = False) -> Any:
        if axis is None:
            return reduced(w, kind, w.name(x), _axes(x, None), keep)
        axis %= x.dim()
        index = w.graph.node(best, w.name(x), axis=axis, keepdims=int(keep))
        return [reduced(w, kind, w.name(x), [axis], keep), index]

    return write


def _any(w: Written, out: Tensor, x: Tensor, axes: Axes = None, keep: bool = False) -> str:
    number = w.graph.cast(w.name(x), x.dtype, torch.int32)
    if x.dtype is not torch.bool:
        number = w.graph.node("Abs", number)
    return w.graph.cast(reduced(w, "ReduceMax", number, _axes(x, axes), keep), torch.int32, torch.bool)


def _all(w: Written, out: Tensor, x: Tensor, axes: Axes = None, keep: bool = False) -> str:
    number = w.graph.cast(w.graph.cast(w.name(x), x.dtype, torch.bool), torch.bool, torch.int32)
    return w.graph.cast(reduced(w, "ReduceMin", number, _axes(x, axes), keep), torch.int32, torch.bool)


def _log_sum_exp(w: Written, out: Tensor, x: Tensor, axes: Axes, keep: bool = False) -> str:
    """max + log sum exp(x - max), the maximum taken for 0 where it is infinite."""
    g, along, value = w.graph, _axes(x, axes), floating(w, x, out)
    most = reduced(w, "ReduceMax", value, along, True)
    zero = g.constant(0.0, out.dtype)
    most = g.node("Where", g.node("IsInf", most), zero, most)
    total = reduced(w, "ReduceSum", g.node("Exp", g.node("Sub", value, most)), along, True)
    found = g.node("Add", g.node("Log", total), most)
    return found if keep else g.reshape(found, out.shape)


def spread(w: Written, x: Tensor, name: str, axes: Sequence[int], correction: float) -> tuple[str, str]:
    """Variance and mean along axes, kept as axes of length 1."""
    g, count = w.graph, 1
    for axis in axes:
        count *= x.shape[axis]
    mean = reduced(w, "ReduceMean", name, axes, True)
    centred = g.node("Sub", name, mean)
    total = reduced(w, "ReduceSum", g.node("Mul", centred, centred), axes, True)
    return g.node("Div", total, g.constant(count - correction, x.dtype)), mean


def _variance(
    w: Written, out: Tensor, x: Tensor, axes: Axes = None, *, correction: float | None = None,
    keepdim: bool = False,
) -> str:  # fmt: skip
    found, _ = spread(w, x, w.name(x), _axes(x, axes), 1 if correction is None else correction)
    return w.graph.reshape(found, out.shape)


def _deviation(
    w: Written, out: Tensor, x: Tensor, axes: Axes = None, *, correction: float | None = None,
    keepdim: bool = False,
) -> str:  # fmt: skip
    return w.graph.node("Sqrt", _variance(w, out, x, axes, correction=correction))


def _variance_and_mean(
    w: Written, out: Sequence[Tensor], x: Tensor, axes: Axes = None, *, correction: float | None = None,
    keepdim: bool = False,
) -> list[str]:  # fmt: skip
    found = spread(w, x, w.name(x), _axes(x, axes), 1 if correction is None else correction)
    return [w.graph.reshape(name, out[0].shape) for name in found]


def _norm(
    w: Written,
    out: Tensor,
    x: Tensor,
    order: float | None = 2,
    axes: Axes = None,
    keep: bool = False,
    **_: Any,
) -> str:
    along, value = _axes(x, axes), floating(w, x, out)
    if order in (2, None):
        return w.graph.node("Sqrt", reduced(w, "ReduceSum", w.graph.node("Mul", value, value), along, keep))
    if order == 1:
        return reduced(w, "ReduceSum", w.graph.node("Abs", value), along, keep)
    if order == float("inf"):
        return reduced(w, "ReduceMax", w.graph.node("Abs", value), along, keep)
    raise NotImplementedError(f"a norm of order {order}")


def _where_extreme(kind: str) -> Write:
    def write(w: Written, out: Tensor, x: Tensor, axis: int | None = None, keep: bool = False) -> str:
        if axis is None:
            flat = w.graph.node(kind, w.graph.reshape(w.name(x), (-1,)), axis=0, keepdims=0)
            return w.graph.reshape(flat, out.shape)
        return w.graph.node(kind, w.name(x), axis=axis % x.dim(), keepdims=int(keep))

    return write


def top(w: Written, x: Tensor, count: int, axis: int, *, largest: bool = True) -> list[str]:
    """The values, ordered, and where they lie."""
    return w.graph.several(
        "TopK", 2, w.name(x), w.graph.whole(count), axis=axis % x.dim(), largest=int(largest), sorted=1
    )


def _top(
    w: Written, out: Any, x: Tensor, count: int, axis: int = -1, largest: bool = True, sorted: bool = True
) -> list[str]:
    return top(w, x, count, axis, largest=largest)


def _sorted(w: Written, out: Any, x: Tensor, *args: Any, **more: Any) -> list[str]:
    flags = [value for value in args if isinstance(value, bool)]
    places = [value for value in args if not isinstance(value, bool) and value is not None]
    axis = more.get("dim", places[0] if places else -1)
    down = more.get("descending", flags[-1] if flags else False)
    return top(w, x, x.shape[axis], axis, largest=down)


def _order(w: Written, out: Tensor, x: Tensor, *args: Any, **more: Any) -> str:
    return _sorted(w, out, x, *args, **more)[1]


def _median(w: Written, out: Any, x: Tensor, axis: int | None = None, keep: bool = False) -> Any:
    """The lower of the two in the middle."""
    g = w.graph
    if axis is None:
        flat = g.reshape(w.name(x), (-1,))
        place = (x.numel() - 1) // 2
        ascending = g.several("TopK", 2, flat, g.whole(place + 1), axis=0, largest=0, sorted=1)[0]
        return g.reshape(g.node("Gather", ascending, g.whole(place), axis=0), out.shape)
    place = (x.shape[axis] - 1) // 2
    ranked = top(w, x, place + 1, axis, largest=False)
    found = [g.node("Gather", name, g.whole(place), axis=axis % x.dim()) for name in ranked]
    return [g.reshape(name, out[0].shape) for name in found]


def _kth(w: Written, out: Any, x: Tensor, k: int, axis: int = -1, keep: bool = False) -> list[str]:
    g, ranked = w.graph, top(w, x, k, axis, largest=False)
    found = [g.node("Gather", name, g.whole(k - 1), axis=axis % x.dim()) for name in ranked]
    return [g.reshape(name, out[0].shape) for name in found]


def _running_sum(w: Written, out: Tensor, x: Tensor, axis: int, **_: Any) -> str:
    return w.graph.node("CumSum", floating(w, x, out), w.graph.constant(axis % x.dim(), torch.int64))


REDUCING: dict[str, Write] = {
    "sum": _reduction("ReduceSum"), "mean": _reduction("ReduceMean"), "amax": _reduction("ReduceMax"),
    "amin": _reduction("ReduceMin"), "prod": _reduction("ReduceProd"),
    "max": _extreme("ReduceMax", "ArgMax"), "min": _extreme("ReduceMin", "ArgMin"),
    "any": _any, "all": _all, "logsumexp": _log_sum_exp,
    "var": _variance, "std": _deviation, "var_mean": _variance_and_mean,
    "linalg_vector_norm": _norm, "norm": _norm,
    "argmax": _where_extreme("ArgMax"), "argmin": _where_extreme("ArgMin"),
    "topk": _top, "sort": _sorted, "argsort": _order, "median": _median, "kthvalue": _kth,
    "cumsum": _running_sum,
}  # fmt: skip
