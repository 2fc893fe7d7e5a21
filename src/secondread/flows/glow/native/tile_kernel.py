"""The compiled network in AMX tiles, as a function of tensors."""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from secondread.networks.native.arguments import address, check, expect
from secondread.networks.native.shared_library import opened


class _Call(ctypes.Structure):
    """`secondread::Call` of amx/network.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("rank", "size_0", "size_1", "size_2")),
        *((name, ctypes.c_int64) for name in ("images", "channels_in", "channels_out", "width", "threads")),
        *((name, ctypes.c_void_p) for name in ("x", "first", "middle", "middle_bias", "last")),
        *((name, ctypes.c_void_p) for name in ("last_bias", "border")),
    ]


class _Gradients(ctypes.Structure):
    """`secondread::Gradients` of amx/gradients.h."""

    _fields_ = [
        (name, ctypes.c_void_p)
        for name in ("x", "first", "middle", "middle_bias", "last", "last_bias", "border")
    ]


class TileKernel:
    """The passes of `flows.glow.coupling_net` on bfloat16 weights and float32 planes, all on the CPU.

    x            `[channels_in, N, *S]` float32, in 2-D or 3-D
    first        `[width, K]` bfloat16, K = (channels_in + 1 for a border) * 3^rank + 1, the bias last
    middle       `[width, width]`, middle_bias `[width]`, last `[channels_out * 3^rank, width]`, bfloat16
    last_bias    `[channels_out]`, border `[channels_out, 3^rank]` or None, float32

    Hidden values and their gradients are rounded to bfloat16, all sums are taken in float32. The result is
    the same every time for one number of threads. Everything has to be contiguous, and the width a multiple
    of 32 (`takes`); `ValueError` where it is not.
    """

    def __init__(self, library: Path) -> None:
        """Raises OSError where the library cannot be loaded or the system keeps the tile registers back."""
        found = opened(library, _Call)
        self._forward, self._backward = found.secondread_forward, found.secondread_backward
        self._forward.argtypes = [ctypes.c_void_p] * 2
        self._backward.argtypes = [ctypes.c_void_p] * 3
        if found.secondread_permission() != 0:
            raise OSError("the system does not grant the AMX tile registers")

    @staticmethod
    def takes(x: Tensor, middle: Tensor) -> bool:
        """Whether the passes know this precision, device, rank and width."""
        return (
            x.device.type == "cpu"
            and x.dtype == torch.float32
            and middle.dtype == torch.bfloat16
            and x.ndim in (4, 5)
            and x.numel() > 0
            and len(middle) % 32 == 0
        )

    def forward(
        self,
        x: Tensor,
        first: Tensor,
        middle: Tensor,
        middle_bias: Tensor,
        last: Tensor,
        last_bias: Tensor,
        border: Tensor | None,
    ) -> Tensor:
        """The network's output `[channels_out, N, *S]` float32: `run_forward`."""
        call = _call(x, first, middle, middle_bias, last, last_bias, border)
        out = torch.empty((len(last_bias), *x.shape[1:]))
        check(self._forward(ctypes.addressof(call), out.data_ptr()))
        return out

    def backward(
        self,
        x: Tensor,
        first: Tensor,
        middle: Tensor,
        middle_bias: Tensor,
        last: Tensor,
        last_bias: Tensor,
        border: Tensor | None,
        gradient: Tensor,
        *,
        to_input: bool = True,
    ) -> tuple[Tensor | None, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """Gradients, float32, of x (or None) and of the six weights in their order, given that of the output
        `[channels_out, N, *S]`: `run_backward` with the hidden layers computed again."""
        call = _call(x, first, middle, middle_bias, last, last_bias, border)
        expect("gradient", gradient, torch.float32, (len(last_bias), *x.shape[1:]))
        to_x = torch.empty(x.shape) if to_input else None
        weights = (first, middle, middle_bias, last, last_bias)
        to_weights = [torch.empty(weight.shape) for weight in weights]
        to_border = None if border is None else torch.empty(border.shape)
        gradients = _Gradients(address(to_x), *(each.data_ptr() for each in to_weights), address(to_border))
        check(self._backward(ctypes.addressof(call), gradient.data_ptr(), ctypes.addressof(gradients)))
        to_first, to_middle, to_middle_bias, to_last, to_last_bias = to_weights
        return to_x, to_first, to_middle, to_middle_bias, to_last, to_last_bias, to_border


def _call(
    x: Tensor,
    first: Tensor,
    middle: Tensor,
    middle_bias: Tensor,
    last: Tensor,
    last_bias: Tensor,
    border: Tensor | None,
) -> _Call:
    if not TileKernel.takes(x, middle):
        raise ValueError(
            f"x {tuple(x.shape)} {x.dtype} on {x.device} with a width of {len(middle)} in {middle.dtype}: "
            "takes float32 planes of 2-D or 3-D maps on the CPU, bfloat16 weights, a width that 32 divides"
        )
    channels, images, *size = x.shape
    rank, width, outputs = len(size), len(middle), len(last_bias)
    taps = 3**rank
    half, single = torch.bfloat16, torch.float32
    expect("x", x, single, x.shape)
    expect("first", first, half, (width, (channels + (border is not None)) * taps + 1))
    expect("middle", middle, half, (width, width))
    expect("middle_bias", middle_bias, half, (width,))
    expect("last", last, half, (outputs * taps, width))
    expect("last_bias", last_bias, single, (outputs,))
    if border is not None:
        expect("border", border, single, (outputs, taps))
    return _Call(
        rank, *size, *([1] * (3 - rank)), images, channels, outputs, width, torch.get_num_threads(),
        x.data_ptr(), first.data_ptr(), middle.data_ptr(), middle_bias.data_ptr(), last.data_ptr(),
        last_bias.data_ptr(), address(border),
    )  # fmt: skip
