"""The compiled distances, as a function of tensors."""

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
    """`secondread::Call` of distances.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("dimensions", "positions", "threads")),
        *((name, ctypes.c_void_p) for name in ("planes", "x", "found")),
    ]


class DistancesKernel:
    """|W x| at each position: W `[d, d, P]`, of which the lower triangle is read, x `[N, d, P]`; `[N, P]`.

    All float32, contiguous and on the CPU; `ValueError` where a tensor is not. Each number is summed up in
    one order, whatever the batch and the number of threads.
    """

    def __init__(self, library: Path) -> None:
        """Raises OSError where the library cannot be loaded."""
        found = opened(library, _Call)
        self._run = found.secondread_distances
        self._run.argtypes = [ctypes.c_void_p]

    def __call__(self, planes: Tensor, x: Tensor) -> Tensor:
        images, dimensions, positions = x.shape
        expect("x", x, torch.float32, (images, dimensions, positions))
        expect("planes", planes, torch.float32, (dimensions, dimensions, positions))
        found = torch.empty(images, positions)
        sizes = (dimensions, positions, torch.get_num_threads())
        for one, to in zip(x, found, strict=True):
            call = _Call(*sizes, planes.data_ptr(), one.data_ptr(), to.data_ptr())
            check(self._run(ctypes.addressof(call)))
        return found


CODE = Code(
    "distances",
    single(Path(__file__).parent / "distances.cpp"),
    for_any_form(DistancesKernel),
    "compiled distances are not used, scores of PaDiM take longer",
)
