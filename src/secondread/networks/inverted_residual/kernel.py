"""The compiled blocks, as functions of tensors."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from secondread.networks.inverted_residual.layers import Scale
from secondread.networks.inverted_residual.packed import Packed
from secondread.networks.native.arguments import check
from secondread.networks.native.build import Code
from secondread.networks.native.forms import single
from secondread.networks.native.shared_library import for_any_form, lanes_and_widest


class BlocksKernel:
    """Blocks whose weights `packed` has brought into order.

    Each number is summed up in one order, whatever the batch and the number of threads.

    lanes   numbers in a vector
    widest  vectors in a group of channels
    """

    def __init__(self, library: Path) -> None:
        """Raises OSError where the library cannot be loaded."""
        found = ctypes.CDLL(str(library))
        self.lanes, self.widest = lanes_and_widest(found)
        self._blocks = found.secondread_blocks
        self._blocks.argtypes = [ctypes.c_char_p, *[ctypes.c_int64] * 5, ctypes.c_char_p, ctypes.c_void_p]

    def __call__(self, x: Tensor, blocks: Sequence[Packed], scale: Scale | None = None) -> Tensor:
        """Blocks one after another, of x `[N, C, H, W]` float32 on the CPU, or of `scale(x)` where the first
        block has a dense convolution wider than 1; what comes out is in channels-last order."""
        if scale is None:
            x = x.contiguous(memory_format=torch.channels_last)
        else:
            x = x.expand(-1, blocks[0].into, -1, -1)
        images, channels, rows, columns = x.shape
        down, across = rows, columns
        for block in blocks:
            for stride in block.strides:
                down, across = -(-down // stride), -(-across // stride)
        y = torch.empty((images, blocks[-1].channels, down, across), memory_format=torch.channels_last)
        # Where an axis has one entry, its stride may be anything.
        strides = x.stride() if scale else (rows * columns * channels, 1, columns * channels, channels)
        moved = (0, 0) if scale is None else (scale.mean.data_ptr(), scale.deviation.data_ptr())
        given = struct.pack("Q4q2Q", x.data_ptr(), *strides, *moved)
        records = b"".join([block.record for block in blocks])
        sizes = (len(blocks), images, rows, columns, torch.get_num_threads())
        check(self._blocks(records, *sizes, given, y.data_ptr()))
        return y


CODE = Code(
    "inverted-residual",
    single(Path(__file__).parent / "blocks.cpp"),
    for_any_form(BlocksKernel),
    "compiled blocks are not used, encoders of EfficientNet take longer",
)
