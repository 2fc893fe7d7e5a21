"""The compiled network in vectors, as a function of tensors."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from secondread.networks.native.arguments import address, check, expect
from secondread.networks.native.shared_library import opened

_NAMES: tuple[str, ...] = ("first", "first_bias", "first_gain", "middle", "middle_bias", "middle_gain")
_NAMES += ("last", "last_bias", "last_gain", "border")


class _Call(ctypes.Structure):
    """`secondread::Call` of vectors/layers.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("rank", "size_0", "size_1", "size_2")),
        *((name, ctypes.c_int64) for name in ("images", "channels_in", "channels_out", "width", "threads")),
        *((name, ctypes.c_void_p) for name in ("x", *_NAMES)),
    ]


class _Gradients(ctypes.Structure):
    """`secondread::Gradients` of vectors/gradients.h."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("x", *_NAMES)]


class VectorKernel:
    """The passes of a coupling's network on its parameters as they are learned: `CouplingNet.values()`.

    x       `[channels_in, N, *S]` float32, in 2-D or 3-D
    values  float32, with a gain `exp(3 l)` in place of each l: every hidden layer is
            max((W y + bias) * gain, 0), the output (W y + bias + border) * gain

    Weights are neither copied nor scaled in float32; in bfloat16 they are rounded as they are laid out, and
    hidden values and their gradients are rounded too. Sums are float32. The result is the same every time
    for one number of threads. Everything has to be contiguous and on the CPU; `ValueError` where it is not.
    """

    def __init__(self, library: Path) -> None:
        """Raises OSError where the library cannot be loaded."""
        found = opened(library, _Call)
        self._forward, self._backward = found.secondread_forward, found.secondread_backward
        self._forward.argtypes = [ctypes.c_void_p] * 2
        self._backward.argtypes = [ctypes.c_void_p] * 3

    def forward(self, x: Tensor, values: Sequence[Tensor]) -> Tensor:
        """The network's output `[channels_out, N, *S]` float32."""
        call = _call(x, values)
        out = torch.empty((len(values[7]), *x.shape[1:]))
        check(self._forward(ctypes.addressof(call), out.data_ptr()))
        return out

    def backward(
        self, x: Tensor, values: Sequence[Tensor], gradient: Tensor, *, to_input: bool = True
    ) -> tuple[Tensor | None, tuple[Tensor, ...]]:
        """Gradients, float32, of x (or None) and of `CouplingNet.values()`, so of l in place of the gains,
        given that of the output `[channels_out, N, *S]`; hidden layers are computed again."""
        call = _call(x, values)
        expect("gradient", gradient, torch.float32, (len(values[7]), *x.shape[1:]))
        to_x = torch.empty(x.shape) if to_input else None
        found = tuple(torch.empty(value.shape) for value in values)
        border = [None] * (len(_NAMES) - len(found))
        gradients = _Gradients(address(to_x), *(each.data_ptr() for each in found), *border)
        check(self._backward(ctypes.addressof(call), gradient.data_ptr(), ctypes.addressof(gradients)))
        return to_x, found


def _call(x: Tensor, values: Sequence[Tensor]) -> _Call:
    channels, images, *size = x.shape
    rank, width, outputs = len(size), len(values[3]), len(values[7])
    border = values[9] if len(values) > 9 else None
    kernel = (3,) * rank
    if rank not in (2, 3) or not x.numel():
        raise ValueError(f"x is {tuple(x.shape)}; expected planes [C, N, *S] of maps in 2-D or 3-D")
    expect("x", x, torch.float32, x.shape)
    shapes = [
        (width, channels + (border is not None), *kernel), (width,), (width,),
        (width, width), (width,), (width,),
        (outputs, *kernel, width), (outputs,), (outputs,),
    ]  # fmt: skip
    if border is not None:
        shapes.append((outputs, 3**rank))
    for name, value, shape in zip(_NAMES, values, shapes, strict=False):
        expect(name, value, torch.float32, shape)
    return _Call(
        rank, *size, *([1] * (3 - rank)), images, channels, outputs, width, torch.get_num_threads(),
        x.data_ptr(), *(value.data_ptr() for value in values[:9]), address(border),
    )  # fmt: skip
