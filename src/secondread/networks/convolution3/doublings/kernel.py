"""The compiled layers, as functions of tensors."""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from secondread.networks.native.arguments import check
from secondread.networks.native.build import Code
from secondread.networks.native.forms import single
from secondread.networks.native.shared_library import for_any_form, lanes_and_widest


class LayersKernel:
    """Layers that `packed` has brought into order, one after another.

    Each number is summed up in one order, whatever the batch and the number of threads.

    lanes   numbers in a vector
    widest  vectors in a group of channels
    """

    def __init__(self, library: Path) -> None:
        """Raises OSError where the library cannot be loaded."""
        found = ctypes.CDLL(str(library))
        self.lanes, self.widest = lanes_and_widest(found)
        self._length, self._spread = found.secondread_spread_length, found.secondread_spread
        self._length.argtypes, self._length.restype = [ctypes.c_int64] * 2, ctypes.c_int64
        self._spread.argtypes = [*[ctypes.c_int64] * 2, *[ctypes.c_void_p] * 2]
        self._spread.restype = None
        self._run = found.secondread_layers
        self._run.argtypes = [ctypes.c_char_p, *[ctypes.c_int64] * 7, *[ctypes.c_void_p] * 2]

    def spread(self, weight: Tensor) -> Tensor:
        """Kernels `[O, I, 3, 3]` as the products of a convolution take them."""
        weight = weight.contiguous()
        outs, ins = weight.shape[:2]
        numbers = torch.empty(self._length(ins, outs))
        self._spread(ins, outs, weight.data_ptr(), numbers.data_ptr())
        return numbers

    def __call__(
        self,
        x: Tensor,
        record: bytes,
        count: int,
        channels: int,
        growth: int,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """y `[N, channels, growth H, growth W]` of x `[N, C, H, W]` float32 on the CPU, by `count` layers; it
        is in channels-last order. Where `size` is given, tanh of y, brought to it by linear interpolation."""
        x = x.contiguous(memory_format=torch.channels_last)
        images, _, rows, columns = x.shape
        shape = (growth * rows, growth * columns) if size is None else size
        y = torch.empty((images, channels, *shape), memory_format=torch.channels_last)
        sizes = (count, images, rows, columns, *(size or (0, 0)), torch.get_num_threads())
        check(self._run(record, *sizes, x.data_ptr(), y.data_ptr()))
        return y


CODE = Code(
    "doublings",
    single(Path(__file__).parent / "layers.cpp"),
    for_any_form(LayersKernel),
    "compiled decoders are not used, scores of AE-FLOW take longer",
)
