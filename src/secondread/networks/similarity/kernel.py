"""The compiled map, as a function of tensors."""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from secondread.networks.native.arguments import check, expect
from secondread.networks.native.build import Code
from secondread.networks.native.forms import single
from secondread.networks.native.shared_library import for_any_form, opened


class _Call(ctypes.Structure):
    """`secondread::Call` of similarity.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("planes", "rows", "columns", "down", "across", "threads")),
        *((name, ctypes.c_void_p) for name in ("x", "y", "weights_down", "weights_across")),
        *((name, ctypes.c_float) for name in ("luminance", "contrast")),
    ]


class SimilarityKernel:
    """Structural similarity at every window of x and y `[*, H, W]`, float32, contiguous and on the CPU.

    Each number is summed up in one order, whatever the batch and the number of threads.
    """

    def __init__(self, library: Path) -> None:
        """Raises OSError where the library cannot be loaded."""
        found = opened(library, _Call)
        self._run = found.secondread_similarity
        self._run.argtypes = [ctypes.c_void_p, ctypes.c_void_p]

    def __call__(
        self, x: Tensor, y: Tensor, weights: tuple[Tensor, Tensor], constants: tuple[float, float]
    ) -> Tensor:
        """`[*, H - h + 1, W - w + 1]`, for the weights `[h]` and `[w]` of a window, and c1 and c2."""
        *planes, rows, columns = x.shape
        expect("x", x, torch.float32, (*planes, rows, columns))
        expect("y", y, torch.float32, (*planes, rows, columns))
        down, across = (len(along) for along in weights)
        for along, length in zip(weights, (rows, columns), strict=True):
            expect("weights", along, torch.float32, (min(len(along), length),))
        found = torch.empty((*planes, rows - down + 1, columns - across + 1))
        sizes = (x.numel() // (rows * columns), rows, columns, down, across, torch.get_num_threads())
        pointers = (tensor.data_ptr() for tensor in (x, y, *weights))
        call = _Call(*sizes, *pointers, *constants)
        check(self._run(ctypes.addressof(call), found.data_ptr()))
        return found


CODE = Code(
    "similarity",
    single(Path(__file__).parent / "similarity.cpp"),
    for_any_form(SimilarityKernel),
    "the compiled structural similarity is not used, scores that have one take longer",
)
