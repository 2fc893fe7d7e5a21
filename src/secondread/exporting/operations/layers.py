"""Convolutions, normalisation and pooling as networks have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from secondread.exporting.operations.reducing import reduced, spread
from secondread.exporting.written import Written

Write = Callable[..., Any]
Sizes = Sequence[int]


def every(sizes: Sizes | int, rank: int) -> list[int]:
    """One size for each axis."""
    given = [sizes] if isinstance(sizes, int) else list(sizes)
    return given * rank if len(given) == 1 else given


def _convolution(
    w: Written, out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, padding: Sizes,
    dilation: Sizes, transposed: bool, output_padding: Sizes, groups: int,
) -> str:  # fmt: skip
    rank = weight.dim() - 2
    pads = every(padding, rank)
    more: dict[str, Any] = {"output_padding": every(output_padding, rank)} if transposed else {}
    return w.graph.node(
        "ConvTranspose" if transposed else "Conv",
        w.name(x),
        w.name(weight),
        *([] if bias is None else [w.name(bias)]),
        kernel_shape=list(weight.shape[2:]),
        strides=every(stride, rank),
        pads=[*pads, *pads],
        dilations=every(dilation, rank),
        group=groups,
        **more,
    )


def _batch_norm(
    w: Written, out: Sequence[Tensor], x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor,
    variance: Tensor, *more: Any,
) -> list[str]:  # fmt: skip
    """In eval mode: what the saved statistics are is of no use, and they are empty."""
    training, epsilon = (more[0], more[2]) if isinstance(more[0], bool) else (False, more[1])
    if training:
        raise NotImplementedError("batch normalisation over the batch")
    gain = (variance.double() + epsilon).rsqrt()
    gain = gain if weight is None else gain * weight.double()
    shift = -mean.double() * gain
    shift = shift if bias is None else shift + bias.double()
    shape = [1, -1, *[1] * (x.dim() - 2)]
    scaled = w.graph.node("Mul", w.name(x), w.graph.constant(gain.view(shape), x.dtype))
    return [w.graph.node("Add", scaled, w.graph.constant(shift.view(shape), x.dtype))]


def _group_norm(
    w: Written, out: Sequence[Tensor], x: Tensor, weight: Tensor | None, bias: Tensor | None, n: int,
    channels: int, _: int, groups: int, epsilon: float,
) -> list[str]:  # fmt: skip
    g = w.graph
    flat = g.reshape(w.name(x), (n, groups, -1))
    seen = torch.empty(n, groups, x.numel() // (n * groups), dtype=x.dtype)
    variance, mean = spread(w, seen, flat, [2], 0)
    deviation = g.node("Sqrt", g.node("Add", variance, g.constant(epsilon, x.dtype)))
    found = g.reshape(g.node("Div", g.node("Sub", flat, mean), deviation), x.shape)
    found = _scaled(w, found, weight, bias, [1, channels, *[1] * (x.dim() - 2)])
    return [found, g.reshape(mean, (n, groups)), g.reshape(g.node("Reciprocal", deviation), (n, groups))]


def _layer_norm(
    w: Written, out: Sequence[Tensor], x: Tensor, shape: Sizes, weight: Tensor | None, bias: Tensor | None,
    epsilon: float,
) -> list[str]:  # fmt: skip
    g, axes = w.graph, list(range(x.dim() - len(shape), x.dim()))
    variance, mean = spread(w, x, w.name(x), axes, 0)
    deviation = g.node("Sqrt", g.node("Add", variance, g.constant(epsilon, x.dtype)))
    found = g.node("Div", g.node("Sub", w.name(x), mean), deviation)
    return [_scaled(w, found, weight, bias, shape), mean, g.node("Reciprocal", deviation)]


def _scaled(w: Written, name: str, weight: Tensor | None, bias: Tensor | None, shape: Sizes) -> str:
    if weight is not None:
        name = w.graph.node("Mul", name, w.graph.reshape(w.name(weight), shape))
    return name if bias is None else w.graph.node("Add", name, w.graph.reshape(w.name(bias), shape))


def _max_pool(
    w: Written, out: Any, x: Tensor, size: Sizes, stride: Sizes = (), padding: Sizes | int = 0,
    dilation: Sizes | int = 1, ceil: bool = False,
) -> list[str]:  # fmt: skip
    kept = out if isinstance(out, Tensor) else out[0]
    rank = len(size)
    pads = every(padding, rank)
    given = w.name(x) if x.dim() == rank + 2 else w.graph.reshape(w.name(x), (1, *x.shape))
    attributes = {
        "kernel_shape": every(size, rank),
        "strides": every(stride or size, rank),
        "pads": [*pads, *pads],
        "dilations": every(dilation, rank),
        "ceil_mode": int(ceil),
    }
    return [w.graph.reshape(w.graph.node("MaxPool", given, **attributes), kept.shape)]


def _average_pool(
    w: Written, out: Tensor, x: Tensor, size: Sizes, stride: Sizes = (), padding: Sizes | int = 0,
    ceil: bool = False, count_padding: bool = True, divisor: int | None = None,
) -> str:  # fmt: skip
    if divisor is not None or ceil:
        raise NotImplementedError("average pooling with a divisor or rounded up")
    rank = len(size)
    pads = every(padding, rank)
    given = w.name(x) if x.dim() == rank + 2 else w.graph.reshape(w.name(x), (1, *x.shape))
    found = w.graph.node(
        "AveragePool",
        given,
        kernel_shape=every(size, rank),
        strides=every(stride or size, rank),
        pads=[*pads, *pads],
        count_include_pad=int(count_padding),
    )
    return w.graph.reshape(found, out.shape)


def _softmax(w: Written, out: Tensor, x: Tensor, axis: int, *_: Any) -> str:
    return w.graph.node("Softmax", w.name(x), axis=axis % x.dim())


def _log_softmax(w: Written, out: Tensor, x: Tensor, axis: int, *_: Any) -> str:
    g, value, along = w.graph, w.name(x), [axis % x.dim()]
    centred = g.node("Sub", value, reduced(w, "ReduceMax", value, along, True))
    total = reduced(w, "ReduceSum", g.node("Exp", centred), along, True)
    return g.node("Sub", centred, g.node("Log", total))


def _glu(w: Written, out: Tensor, x: Tensor, axis: int = -1) -> str:
    first, second = w.graph.several("Split", 2, w.name(x), axis=axis % x.dim(), num_outputs=2)
    return w.graph.node("Mul", first, w.graph.node("Sigmoid", second))


def _negative_log_likelihood(
    w: Written, out: Sequence[Tensor], x: Tensor, target: Tensor, weight: Tensor | None, reduction: int,
    ignored: int,
) -> list[str]:  # fmt: skip
    if weight is not None or reduction != 0:
        raise NotImplementedError("a likelihood that is weighted or reduced")
    axis = 0 if x.dim() == 1 else 1
    shape = [*target.shape[:axis], 1, *target.shape[axis:]]
    chosen = w.graph.node("GatherElements", w.name(x), w.graph.reshape(w.name(target), shape), axis=axis)
    return [w.graph.node("Neg", w.graph.reshape(chosen, target.shape))]


def _dropout(w: Written, out: Any, x: Tensor, share: float, training: bool | None = False) -> Any:
    if training:
        raise NotImplementedError("dropout in training mode")
    return w.name(x) if isinstance(out, Tensor) else [w.name(x)]


LAYERS: dict[str, Write] = {
    "convolution": _convolution, "native_batch_norm": _batch_norm, "_native_batch_norm_legit": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm, "native_group_norm": _group_norm,
    "native_layer_norm": _layer_norm,
    "max_pool2d_with_indices": _max_pool, "max_pool3d_with_indices": _max_pool,
    "avg_pool1d": _average_pool, "avg_pool2d": _average_pool, "avg_pool3d": _average_pool,
    "_softmax": _softmax, "_log_softmax": _log_softmax, "glu": _glu,
    "nll_loss_forward": _negative_log_likelihood, "nll_loss2d_forward": _negative_log_likelihood,
    "dropout": _dropout, "native_dropout": _dropout,
}  # fmt: skip
