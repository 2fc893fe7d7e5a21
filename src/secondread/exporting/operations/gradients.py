"""Gradients that a score itself is made of, as autograd calls them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from secondread.exporting.operations.layers import every
from secondread.exporting.operations.reducing import reduced
from secondread.exporting.written import Written

Write = Callable[..., Any]
ALONE = "only the gradient of what goes in can be written"


def _convolution(
    w: Written, out: Sequence[Tensor | None], gradient: Tensor, x: Tensor, weight: Tensor, _: Any,
    stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], transposed: bool,
    output_padding: Sequence[int], groups: int, wanted: Sequence[bool],
) -> list[str]:  # fmt: skip
    if list(wanted) != [True, False, False]:
        raise NotImplementedError(ALONE)
    rank = weight.dim() - 2
    strides, pads, dilations = every(stride, rank), every(padding, rank), every(dilation, rank)
    attributes: dict[str, Any] = {
        "kernel_shape": list(weight.shape[2:]), "strides": strides, "dilations": dilations,
        "pads": [*pads, *pads], "group": groups,
    }  # fmt: skip
    if transposed:
        return [w.graph.node("Conv", w.name(gradient), w.name(weight), **attributes)]
    attributes["output_padding"] = [
        x.shape[2 + i]
        - (
            (gradient.shape[2 + i] - 1) * strides[i]
            - 2 * pads[i]
            + dilations[i] * (weight.shape[2 + i] - 1)
            + 1
        )
        for i in range(rank)
    ]
    return [w.graph.node("ConvTranspose", w.name(gradient), w.name(weight), **attributes)]


def _batch_norm(
    w: Written, out: Any, gradient: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, variance: Tensor,
    _: Any, __: Any, training: bool, epsilon: float, wanted: Sequence[bool],
) -> list[str]:  # fmt: skip
    if training or list(wanted) != [True, False, False]:
        raise NotImplementedError(ALONE)
    gain = (variance.double() + epsilon).rsqrt()
    gain = gain if weight is None else gain * weight.double()
    shape = [1, -1, *[1] * (x.dim() - 2)]
    return [w.graph.node("Mul", w.name(gradient), w.graph.constant(gain.view(shape), x.dtype))]


def _threshold(w: Written, out: Tensor, gradient: Tensor, x: Tensor, threshold: float) -> str:
    g = w.graph
    above = g.node("Greater", w.name(x), g.constant(threshold, x.dtype))
    return g.node("Where", above, w.name(gradient), g.constant(0.0, out.dtype))


def _leaky(w: Written, out: Tensor, gradient: Tensor, x: Tensor, slope: float, _: bool) -> str:
    g = w.graph
    above = g.node("Greater", w.name(x), g.constant(0.0, x.dtype))
    less = g.node("Mul", w.name(gradient), g.constant(slope, out.dtype))
    return g.node("Where", above, w.name(gradient), less)


def _tanh(w: Written, out: Tensor, gradient: Tensor, y: Tensor) -> str:
    g = w.graph
    slope = g.node("Sub", g.constant(1.0, y.dtype), g.node("Mul", w.name(y), w.name(y)))
    return g.node("Mul", w.name(gradient), slope)


def _sigmoid(w: Written, out: Tensor, gradient: Tensor, y: Tensor) -> str:
    g = w.graph
    slope = g.node("Mul", w.name(y), g.node("Sub", g.constant(1.0, y.dtype), w.name(y)))
    return g.node("Mul", w.name(gradient), slope)


def _hardtanh(w: Written, out: Tensor, gradient: Tensor, x: Tensor, low: float, high: float) -> str:
    g = w.graph
    inside = g.node(
        "And",
        g.node("Greater", w.name(x), g.constant(low, x.dtype)),
        g.node("Less", w.name(x), g.constant(high, x.dtype)),
    )
    return g.node("Where", inside, w.name(gradient), g.constant(0.0, out.dtype))


def _softmax(w: Written, out: Tensor, gradient: Tensor, y: Tensor, axis: int, _: Any) -> str:
    g = w.graph
    product = g.node("Mul", w.name(gradient), w.name(y))
    total = reduced(w, "ReduceSum", product, [axis % y.dim()], True)
    return g.node("Sub", product, g.node("Mul", w.name(y), total))


def _log_softmax(w: Written, out: Tensor, gradient: Tensor, y: Tensor, axis: int, _: Any) -> str:
    g = w.graph
    total = reduced(w, "ReduceSum", w.name(gradient), [axis % y.dim()], True)
    return g.node("Sub", w.name(gradient), g.node("Mul", g.node("Exp", w.name(y)), total))


def _slice(
    w: Written,
    out: Tensor,
    gradient: Tensor,
    sizes: Sequence[int],
    axis: int,
    start: int,
    end: int,
    step: int,
) -> str:
    axis %= len(sizes)
    zero = w.graph.constant(torch.zeros(sizes, dtype=out.dtype), out.dtype)
    shape = [1] * len(sizes)
    shape[axis] = -1
    places = torch.arange(sizes[axis])[slice(start, end, step)].view(shape).expand(gradient.shape)
    index = w.graph.constant(places, torch.int64)
    return w.graph.node("ScatterElements", zero, index, w.name(gradient), axis=axis)


def _select(w: Written, out: Tensor, gradient: Tensor, sizes: Sequence[int], axis: int, index: int) -> str:
    axis %= len(sizes)
    index %= sizes[axis]
    shape = [*gradient.shape[:axis], 1, *gradient.shape[axis:]]
    widths = [0] * (2 * len(sizes))
    widths[axis], widths[len(sizes) + axis] = index, sizes[axis] - 1 - index
    value = w.graph.reshape(w.name(gradient), shape)
    return w.graph.node(
        "Pad", value, w.graph.whole(*widths), w.graph.constant(0.0, out.dtype), mode="constant"
    )


GRADIENTS: dict[str, Write] = {
    "convolution_backward": _convolution, "native_batch_norm_backward": _batch_norm,
    "threshold_backward": _threshold, "leaky_relu_backward": _leaky, "tanh_backward": _tanh,
    "sigmoid_backward": _sigmoid, "hardtanh_backward": _hardtanh, "_softmax_backward_data": _softmax,
    "_log_softmax_backward_data": _log_softmax, "slice_backward": _slice, "select_backward": _select,
}  # fmt: skip
