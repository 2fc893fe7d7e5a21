"""The compiled convolution of frozen networks, as functions of tensors."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from secondread.networks.native.arguments import address, check, expect
from secondread.networks.native.build import Code
from secondread.networks.native.forms import single
from secondread.networks.native.shared_library import for_any_form, opened

FEWEST_CHANNELS = 16
"""On both sides: a vector of the longest form."""


class _Call(ctypes.Structure):
    """`secondread::FrozenCall` of channels_last.h."""

    _fields_ = [
        (name, ctypes.c_int64) for name in ("images", "ins", "outs", "rows", "columns", "rectify", "threads")
    ]


@dataclass(frozen=True)
class Spread:
    """Kernels `[O, I, 3, 3]` as products take them, and a bias `[O]`."""

    outs: int
    ins: int
    numbers: Tensor
    bias: Tensor


class FrozenKernel:
    """A convolution of width 3 with a border of zeros, in float32 on the CPU: x `[N, I, H, W]` and
    y `[N, O, H, W]` in channels-last order. `ValueError` where a tensor is not, and for fewer than 16
    channels.

    The bits of y are the same for any number of threads, and for each image alone. What is not a number comes
    out as such, in all of the 4×4 outputs that are computed together.
    """

    def __init__(self, library: Path) -> None:
        """Raises OSError where the library cannot be loaded."""
        found = opened(library, _Call)
        pointer = ctypes.c_void_p
        self._length, self._spread = found.secondread_spread_length, found.secondread_spread
        self._length.argtypes, self._length.restype = [pointer], ctypes.c_int64
        self._spread.argtypes, self._spread.restype = [pointer] * 3, None
        self._convolve = found.secondread_convolve
        self._convolve.argtypes = [pointer] * 6

    def spread(self, weight: Tensor, bias: Tensor) -> Spread:
        """Once for all calls; the weight in any order."""
        weight = weight.contiguous()
        outs, ins = weight.shape[:2]
        if min(outs, ins) < FEWEST_CHANNELS:
            raise ValueError(
                f"a convolution from {ins} to {outs} channels; from {FEWEST_CHANNELS} on there is one"
            )
        expect("weight", weight, torch.float32, (outs, ins, 3, 3))
        expect("bias", bias, torch.float32, (outs,))
        call = _Call(0, ins, outs, 0, 0, 0, torch.get_num_threads())
        numbers = torch.empty(self._length(ctypes.addressof(call)))
        self._spread(ctypes.addressof(call), weight.data_ptr(), numbers.data_ptr())
        return Spread(outs, ins, numbers, bias)

    def convolve(self, x: Tensor, spread: Spread, add: Tensor | None, *, relu: bool) -> Tensor:
        """y + add, rectified where `relu`."""
        if x.dim() != 4 or not x.numel():
            raise ValueError(f"x is {tuple(x.shape)}; expected maps [N, C, H, W]")
        images, _, rows, columns = x.shape
        _expect_last("x", x, (images, spread.ins, rows, columns))
        if add is not None:
            _expect_last("add", add, (images, spread.outs, rows, columns))
        y = torch.empty(images, spread.outs, rows, columns, memory_format=torch.channels_last)
        call = _Call(images, spread.ins, spread.outs, rows, columns, relu, torch.get_num_threads())
        pointers = (x.data_ptr(), spread.numbers.data_ptr(), spread.bias.data_ptr(), address(add))
        check(self._convolve(ctypes.addressof(call), *pointers, y.data_ptr()))
        return y


def _expect_last(name: str, found: Tensor, shape: tuple[int, ...]) -> None:
    expect(name, found.permute(0, 2, 3, 1), torch.float32, (shape[0], *shape[2:], shape[1]))


CODE = Code(
    "frozen-convolution",
    single(Path(__file__).parent / "frozen.cpp"),
    for_any_form(FrozenKernel),
    "the compiled convolution is not used, scores take longer",
)
