"""Operations on each element alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from secondread.exporting.written import Operand, Written, floating, operand

Write = Callable[..., Any]


def _one(kind: str, **attributes: Any) -> Write:
    return lambda w, out, x, *_, **__: w.graph.node(kind, floating(w, x, out), **attributes)


def _two(kind: str) -> Write:
    return lambda w, out, a, b, **_: w.graph.node(kind, operand(w, a, out.dtype), operand(w, b, out.dtype))


def _compared(kind: str) -> Write:
    def write(w: Written, out: Tensor, a: Operand, b: Operand) -> str:
        dtype = torch.result_type(a, b)
        if dtype is torch.bool:
            dtype = torch.int32
        return w.graph.node(kind, operand(w, a, dtype), operand(w, b, dtype))

    return write


def _logical(kind: str) -> Write:
    def write(w: Written, out: Tensor, a: Operand, b: Operand) -> str:
        dtype = torch.bool if out.dtype is torch.bool else out.dtype
        if out.dtype is not torch.bool:
            return w.graph.node(f"Bitwise{kind}", operand(w, a, dtype), operand(w, b, dtype))
        return w.graph.node(kind, operand(w, a, torch.bool), operand(w, b, torch.bool))

    return write


def _not(w: Written, out: Tensor, x: Tensor) -> str:
    return w.graph.node("Not", w.graph.cast(w.name(x), x.dtype, torch.bool))


def _sum(w: Written, out: Tensor, a: Operand, b: Operand, *, alpha: float = 1, less: bool = False) -> str:
    second = operand(w, b, out.dtype)
    if alpha != 1:
        second = w.graph.node("Mul", second, w.graph.constant(alpha, out.dtype))
    return w.graph.node("Sub" if less else "Add", operand(w, a, out.dtype), second)


def _difference(w: Written, out: Tensor, a: Operand, b: Operand, *, alpha: float = 1) -> str:
    return _sum(w, out, a, b, alpha=alpha, less=True)


def _reversed(w: Written, out: Tensor, a: Operand, b: Operand, alpha: float = 1) -> str:
    return _sum(w, out, b, a, alpha=alpha, less=True)


def _quotient(w: Written, out: Tensor, a: Operand, b: Operand, *, rounding_mode: str | None = None) -> str:
    if rounding_mode is None or out.dtype.is_floating_point:
        found = w.graph.node("Div", operand(w, a, out.dtype), operand(w, b, out.dtype))
        if rounding_mode is None:
            return found
        if rounding_mode == "floor":
            return w.graph.node("Floor", found)
        return w.graph.node(
            "Mul", w.graph.node("Sign", found), w.graph.node("Floor", w.graph.node("Abs", found))
        )
    exact = [operand(w, value, torch.float64) for value in (a, b)]
    found = w.graph.node("Div", *exact)
    whole = w.graph.node("Floor", found) if rounding_mode == "floor" else found  # a cast cuts towards 0
    return w.graph.cast(whole, torch.float64, out.dtype)


def _floor_quotient(w: Written, out: Tensor, a: Operand, b: Operand) -> str:
    return _quotient(w, out, a, b, rounding_mode="floor")


def _power(w: Written, out: Tensor, x: Operand, exponent: Operand) -> str:
    base = operand(w, x, out.dtype)
    if exponent == 2:
        return w.graph.node("Mul", base, base)
    if exponent == 0.5:
        return w.graph.node("Sqrt", base)
    if exponent == 3:
        return w.graph.node("Mul", w.graph.node("Mul", base, base), base)
    if exponent == -0.5:
        return w.graph.node("Reciprocal", w.graph.node("Sqrt", base))
    return w.graph.node("Pow", base, operand(w, exponent, out.dtype))


def _rsqrt(w: Written, out: Tensor, x: Tensor) -> str:
    return w.graph.node("Reciprocal", w.graph.node("Sqrt", floating(w, x, out)))


def _clamp(w: Written, out: Tensor, x: Tensor, low: Any = None, high: Any = None, **more: Any) -> str:
    """Between two numbers it is `Clip`, which onnxruntime computes with the convolution before it."""
    low, high = more.get("min", low), more.get("max", high)
    found = operand(w, x, out.dtype)
    numbers = not any(isinstance(bound, Tensor) for bound in (low, high))
    if numbers and low is not None and high is not None and out.dtype.is_floating_point:
        return w.graph.node("Clip", found, operand(w, low, out.dtype), operand(w, high, out.dtype))
    if low is not None:
        found = w.graph.node("Max", found, operand(w, low, out.dtype))
    return found if high is None else w.graph.node("Min", found, operand(w, high, out.dtype))


def _clamp_max(w: Written, out: Tensor, x: Tensor, high: Operand) -> str:
    return _clamp(w, out, x, None, high)


def _hardtanh(w: Written, out: Tensor, x: Tensor, low: float = -1.0, high: float = 1.0) -> str:
    return _clamp(w, out, x, low, high)


def _where(w: Written, out: Tensor, condition: Tensor, a: Operand, b: Operand) -> str:
    chosen = w.graph.cast(w.name(condition), condition.dtype, torch.bool)
    return _chosen(w, out, chosen, a, b)


def _chosen(w: Written, out: Tensor, chosen: str, a: Operand, b: Operand) -> str:
    """`Where`, which onnxruntime lacks for some types."""
    dtype = torch.int32 if out.dtype is torch.bool else out.dtype
    found = w.graph.node("Where", chosen, operand(w, a, dtype), operand(w, b, dtype))
    return w.graph.cast(found, dtype, out.dtype)


def _copysign(w: Written, out: Tensor, x: Operand, sign: Operand) -> str:
    """The sign of a zero is taken for that of a positive number."""
    second = operand(w, sign, out.dtype)
    below = w.graph.node("Less", second, w.graph.constant(0, out.dtype))
    size = w.graph.node("Abs", operand(w, x, out.dtype))
    return w.graph.node("Where", below, w.graph.node("Neg", size), size)


def _masked_fill(w: Written, out: Tensor, x: Tensor, mask: Tensor, value: Operand) -> str:
    return _where(w, out, mask, value, x)


def _leaky_relu(w: Written, out: Tensor, x: Tensor, slope: float = 0.01) -> str:
    return w.graph.node("LeakyRelu", w.name(x), alpha=float(slope))


def _elu(
    w: Written, out: Tensor, x: Tensor, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0
) -> str:
    if input_scale != 1:
        raise NotImplementedError("ELU with a scale of its input")
    found = w.graph.node("Elu", w.name(x), alpha=float(alpha))
    return found if scale == 1 else w.graph.node("Mul", found, w.graph.constant(scale, out.dtype))


def _gelu(w: Written, out: Tensor, x: Tensor, *, approximate: str = "none") -> str:
    return w.graph.node("Gelu", w.name(x), approximate=approximate)


def _sigmoid(w: Written, out: Tensor, x: Tensor) -> str:
    """1 / (1 + exp(-x)). onnxruntime's own is off by the last place of 1 everywhere, which is much of a small
    probability."""
    g, one = w.graph, w.graph.constant(1.0, out.dtype)
    return g.node("Reciprocal", g.node("Add", one, g.node("Exp", g.node("Neg", floating(w, x, out)))))


def _silu(w: Written, out: Tensor, x: Tensor) -> str:
    return w.graph.node("Mul", w.name(x), w.graph.node("Sigmoid", w.name(x)))


def _softplus(w: Written, out: Tensor, x: Tensor, beta: float = 1, threshold: float = 20) -> str:
    """max(x, 0) + log(1 + exp(-|βx|)) / β: torch's own form beyond its threshold to rounding."""
    g, value = w.graph, w.name(x)
    scaled = value if beta == 1 else g.node("Mul", value, g.constant(beta, out.dtype))
    small = _log1p_of(w, g.node("Exp", g.node("Neg", g.node("Abs", scaled))), out.dtype)
    small = small if beta == 1 else g.node("Div", small, g.constant(beta, out.dtype))
    return g.node("Add", g.node("Relu", value), small)


def _log_sigmoid(w: Written, out: Any, x: Tensor) -> list[str]:
    """-log(1 + exp(-x)), and torch's buffer, which the gradient reads."""
    g, value, dtype = w.graph, w.name(x), x.dtype
    small = _log1p_of(w, g.node("Exp", g.node("Neg", g.node("Abs", value))), dtype)
    found = g.node("Sub", g.node("Min", value, g.constant(0.0, dtype)), small)
    return [found, g.constant(out[1], dtype)]


def _log1p(w: Written, out: Tensor, x: Tensor) -> str:
    return _log1p_of(w, floating(w, x, out), out.dtype)


def _log1p_of(w: Written, x: str, dtype: torch.dtype) -> str:
    """log(1 + x) without loss where x is small: x log(u) / (u - 1), u = 1 + x rounded."""
    g, one = w.graph, w.graph.constant(1.0, dtype)
    u = g.node("Add", one, x)
    is_one = g.node("Equal", u, one)
    divisor = g.node("Where", is_one, one, g.node("Sub", u, one))
    return g.node("Where", is_one, x, g.node("Mul", x, g.node("Div", g.node("Log", u), divisor)))


def _expm1(w: Written, out: Tensor, x: Tensor) -> str:
    """exp(x) - 1 without loss where x is small: 2 tanh(x/2) / (1 - tanh(x/2)), and as it stands elsewhere."""
    g, value, one = w.graph, floating(w, x, out), w.graph.constant(1.0, out.dtype)
    half = g.node("Tanh", g.node("Mul", value, g.constant(0.5, out.dtype)))
    small = g.node("Div", g.node("Add", half, half), g.node("Sub", one, half))
    is_small = g.node("Less", g.node("Abs", value), g.constant(0.5, out.dtype))
    return g.node("Where", is_small, small, g.node("Sub", g.node("Exp", value), one))


def _addcmul(w: Written, out: Tensor, x: Tensor, a: Tensor, b: Tensor, *, value: float = 1) -> str:
    product = w.graph.node("Mul", operand(w, a, out.dtype), operand(w, b, out.dtype))
    if value != 1:
        product = w.graph.node("Mul", product, w.graph.constant(value, out.dtype))
    return w.graph.node("Add", operand(w, x, out.dtype), product)


def _addcdiv(w: Written, out: Tensor, x: Tensor, a: Tensor, b: Tensor, *, value: float = 1) -> str:
    quotient = w.graph.node("Div", operand(w, a, out.dtype), operand(w, b, out.dtype))
    if value != 1:
        quotient = w.graph.node("Mul", quotient, w.graph.constant(value, out.dtype))
    return w.graph.node("Add", operand(w, x, out.dtype), quotient)


def _lerp(w: Written, out: Tensor, a: Tensor, b: Tensor, weight: Operand) -> str:
    start = operand(w, a, out.dtype)
    way = w.graph.node("Sub", operand(w, b, out.dtype), start)
    return w.graph.node("Add", start, w.graph.node("Mul", operand(w, weight, out.dtype), way))


def _remainder(w: Written, out: Tensor, a: Operand, b: Operand) -> str:
    first, second = operand(w, a, out.dtype), operand(w, b, out.dtype)
    if not out.dtype.is_floating_point:
        return w.graph.node("Mod", first, second)
    whole = w.graph.node("Floor", w.graph.node("Div", first, second))
    return w.graph.node("Sub", first, w.graph.node("Mul", whole, second))


def _copy_to(w: Written, out: Tensor, x: Tensor, **_: Any) -> str:
    return w.graph.cast(w.name(x), x.dtype, out.dtype)


def _copied_into(w: Written, out: Tensor, into: Tensor, x: Tensor, *_: Any) -> str:
    value = w.graph.cast(w.name(x), x.dtype, out.dtype)
    return value if x.shape == out.shape else w.graph.node("Expand", value, w.graph.whole(*out.shape))


def _filled(w: Written, out: Tensor, x: Tensor, value: Operand) -> str:
    return w.graph.node("Expand", operand(w, value, out.dtype), w.graph.whole(*out.shape))


def _zeroed(w: Written, out: Tensor, x: Tensor) -> str:
    return w.graph.constant(torch.zeros(out.shape, dtype=out.dtype), out.dtype)


def _is_finite(w: Written, out: Tensor, x: Tensor) -> str:
    value = w.name(x)
    return w.graph.node("Not", w.graph.node("Or", w.graph.node("IsNaN", value), w.graph.node("IsInf", value)))


def _nan_to_num(w: Written, out: Tensor, x: Tensor, nan: float | None = None, *_: Any) -> str:
    if any(limit is not None for limit in _):
        raise NotImplementedError("nan_to_num with limits")
    value, most = w.name(x), torch.finfo(out.dtype).max
    number = w.graph.node(
        "Where", w.graph.node("IsNaN", value), w.graph.constant(nan or 0.0, out.dtype), value
    )
    low = w.graph.node("Max", number, w.graph.constant(-most, out.dtype))
    return w.graph.node("Min", low, w.graph.constant(most, out.dtype))


ELEMENTWISE: dict[str, Write] = {
    "abs": _one("Abs"), "atan": _one("Atan"), "ceil": _one("Ceil"), "cos": _one("Cos"), "erf": _one("Erf"),
    "exp": _one("Exp"), "floor": _one("Floor"), "isinf": lambda w, out, x: w.graph.node("IsInf", w.name(x)),
    "isnan": lambda w, out, x: w.graph.node("IsNaN", w.name(x)), "isfinite": _is_finite,
    "log": _one("Log"), "neg": _one("Neg"), "reciprocal": _one("Reciprocal"), "relu": _one("Relu"),
    "round": _one("Round"), "sgn": _one("Sign"), "sigmoid": _sigmoid, "sign": _one("Sign"),
    "sin": _one("Sin"), "sqrt": _one("Sqrt"), "tan": _one("Tan"), "tanh": _one("Tanh"),
    "mul": _two("Mul"), "maximum": _two("Max"), "minimum": _two("Min"),
    "add": _sum, "sub": _difference, "rsub": _reversed, "div": _quotient, "floor_divide": _floor_quotient,
    "pow": _power, "rsqrt": _rsqrt, "copysign": _copysign,
    "eq": _compared("Equal"), "gt": _compared("Greater"), "ge": _compared("GreaterOrEqual"),
    "lt": _compared("Less"), "le": _compared("LessOrEqual"),
    "ne": lambda w, out, a, b: w.graph.node("Not", _compared("Equal")(w, out, a, b)),
    "bitwise_and": _logical("And"), "bitwise_or": _logical("Or"), "bitwise_xor": _logical("Xor"),
    "__and__": _logical("And"), "__or__": _logical("Or"),
    "logical_and": _logical("And"), "logical_or": _logical("Or"), "logical_xor": _logical("Xor"),
    "logical_not": _not, "bitwise_not": _not,
    "clamp": _clamp, "clamp_min": _clamp, "clamp_max": _clamp_max, "hardtanh": _hardtanh,
    "where": _where, "masked_fill": _masked_fill,
    "leaky_relu": _leaky_relu, "elu": _elu, "gelu": _gelu, "silu": _silu, "softplus": _softplus,
    "log_sigmoid_forward": _log_sigmoid, "log1p": _log1p, "expm1": _expm1,
    "addcmul": _addcmul, "addcdiv": _addcdiv, "lerp": _lerp, "remainder": _remainder,
    "_to_copy": _copy_to, "copy": _copied_into, "fill": _filled, "zero": _zeroed, "nan_to_num": _nan_to_num,
}  # fmt: skip
