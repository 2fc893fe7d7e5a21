"""The compiled convolution, as functions of tensors."""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from secondread.networks.native.arguments import address, check, expect
from secondread.networks.native.build import Code
from secondread.networks.native.forms import single
from secondread.networks.native.shared_library import for_any_form, opened


class _Call(ctypes.Structure):
    """`secondread::Call` of convolution.h."""

    _fields_ = [(name, ctypes.c_int64) for name in ("images", "ins", "outs", "rows", "columns", "threads")]


class WinogradKernel:
    """A convolution of width 3 with a border of zeros: x `[N, I, H, W]`, weight `[O, I, 3, 3]`, bias `[O]`,
    y `[N, O, H, W]`.

    All float32, contiguous and on the CPU; `ValueError` where a tensor is not. The result is the same every
    time for one number of threads; y and the gradient of x are so for any, and for each image alone.
    """

    def __init__(self, library: Path) -> None:
        """Raises OSError where the library cannot be loaded."""
        found = opened(library, _Call)
        pointer = ctypes.c_void_p
        self._convolve, self._to_weight = found.secondread_convolve, found.secondread_gradient_of_kernels
        self._convolve.argtypes = [pointer] * 4 + [ctypes.c_int, pointer]
        self._to_weight.argtypes = [pointer] * 4

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """y."""
        call = _call(x, weight, len(weight), weight.shape[1])
        if bias is not None:
            expect("bias", bias, torch.float32, (len(weight),))
        return self._run(call, x, weight, bias, len(weight), turned=False)

    def to_input(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """The gradient of x, of that of y."""
        call = _call(gradient, weight, *weight.shape[:2], turned=True)
        return self._run(call, gradient, weight, None, weight.shape[1], turned=True)

    def _run(
        self, call: _Call, x: Tensor, weight: Tensor, bias: Tensor | None, outs: int, *, turned: bool
    ) -> Tensor:
        y = torch.empty(len(x), outs, *x.shape[2:])
        pointers = (x.data_ptr(), weight.data_ptr(), address(bias), int(turned), y.data_ptr())
        check(self._convolve(ctypes.addressof(call), *pointers))
        return y

    def to_weight(self, x: Tensor, gradient: Tensor) -> Tensor:
        """The gradient of the weight, of that of y."""
        found = torch.empty(gradient.shape[1], x.shape[1], 3, 3)
        call = _call(x, found, *found.shape[:2])
        expect("gradient", gradient, torch.float32, (len(x), gradient.shape[1], *x.shape[2:]))
        check(self._to_weight(ctypes.addressof(call), x.data_ptr(), gradient.data_ptr(), found.data_ptr()))
        return found


def _call(x: Tensor, weight: Tensor, outs: int, ins: int, *, turned: bool = False) -> _Call:
    if x.dim() != 4 or not x.numel():
        raise ValueError(f"x is {tuple(x.shape)}; expected maps [N, C, H, W]")
    images, _, rows, columns = x.shape
    expect("x", x, torch.float32, (images, outs if turned else ins, rows, columns))
    expect("weight", weight, torch.float32, (outs, ins, 3, 3))
    return _Call(images, ins, outs, rows, columns, torch.get_num_threads())


CODE = Code(
    "winograd",
    single(Path(__file__).parent / "convolution.cpp"),
    for_any_form(WinogradKernel),
    "the compiled convolution is not used, fits take longer",
)
