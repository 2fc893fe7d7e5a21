"""The compiled couplings, as a function of tensors."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from secondread.networks.native.arguments import check
from secondread.networks.native.build import Code
from secondread.networks.native.forms import single
from secondread.networks.native.shared_library import for_any_form, lanes_and_widest


class CouplingsKernel:
    """Couplings that `packed` has brought into order, one after another.

    Each number is summed up in one order, whatever the batch and the number of threads.

    lanes   numbers in a vector
    widest  vectors in a group of channels
    """

    def __init__(self, library: Path) -> None:
        """Raises OSError where the library cannot be loaded."""
        found = ctypes.CDLL(str(library))
        self.lanes, self.widest = lanes_and_widest(found)
        self._run = found.secondread_couplings
        self._run.argtypes = [ctypes.c_char_p, *[ctypes.c_int64] * 5, *[ctypes.c_void_p] * 3]

    def __call__(self, x: Tensor, records: Sequence[bytes]) -> tuple[Tensor, Tensor]:
        """z `[N, C, H, W]` and the log-determinant `[N, 1, H, W]`, of x `[N, C, H, W]` float32 on the CPU."""
        x = x.contiguous(memory_format=torch.channels_last)
        images, _, rows, columns = x.shape
        z = torch.empty(x.shape, memory_format=torch.channels_last)
        log_determinant = torch.empty(images, 1, rows, columns)
        sizes = (len(records), images, rows, columns, torch.get_num_threads())
        pointers = (tensor.data_ptr() for tensor in (x, z, log_determinant))
        check(self._run(b"".join(records), *sizes, *pointers))
        return z, log_determinant


CODE = Code(
    "couplings",
    single(Path(__file__).parent / "coupling.cpp"),
    for_any_form(CouplingsKernel),
    "compiled couplings are not used, scores of flows take longer",
)
