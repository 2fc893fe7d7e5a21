"""The compiled normalisation, as a function of tensors."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from secondread.networks.native.arguments import check, expect
from secondread.networks.native.build import Code
from secondread.networks.native.forms import single
from secondread.networks.native.grouped import grouped
from secondread.networks.native.shared_library import for_any_form, lanes_and_widest, opened


class _Call(ctypes.Structure):
    """`secondread::Call` of normalise.cpp."""

    _fields_ = [
        *(
            (name, ctypes.c_int64)
            for name in (
                "images",
                "positions",
                "channels",
                "outs",
                "compress",
                "mean_apart",
                "scale_apart",
                "threads",
            )
        ),
        *((name, ctypes.c_void_p) for name in ("x", "mean", "scale", "weight", "y")),
    ]


@dataclass(frozen=True)
class Packed:
    """What is subtracted and divided by, `[P, C]` or `[1, C]`, and a projection in the code's order.

    outs  directions
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    outs: int


class NormalisationKernel:
    """Each number is summed up in one order, whatever the batch and the number of threads."""

    def __init__(self, library: Path) -> None:
        """Raises OSError where the library cannot be loaded."""
        found = opened(library, _Call)
        self.lanes, self.widest = lanes_and_widest(found)
        self._run = found.secondread_normalise
        self._run.argtypes = [ctypes.c_void_p]

    def pack(self, mean: Tensor, scale: Tensor, matrix: Tensor) -> Packed:
        """mean and scale `[C, *S]`, matrix `[K, C]`."""
        mean, scale = (values.flatten(1).t().contiguous() for values in (mean, scale))
        return Packed(mean, scale, grouped(matrix.t(), self.lanes, self.widest), len(matrix))

    def __call__(self, x: Tensor, packed: Packed, *, compress: bool) -> Tensor:
        """y `[N, K, H, W]` of x `[N, C, H, W]` float32 on the CPU, in channels-last order."""
        x = x.contiguous(memory_format=torch.channels_last)
        images, channels, rows, columns = x.shape
        mean, scale, weight = packed.mean, packed.scale, packed.weight
        for name, values in (("mean", mean), ("scale", scale)):
            own = 1 if len(values) == 1 else rows * columns
            expect(name, values, torch.float32, (own, channels))
        y = torch.empty((images, packed.outs, rows, columns), memory_format=torch.channels_last)
        apart = (0 if len(mean) == 1 else channels, 0 if len(scale) == 1 else channels)
        sizes = (images, rows * columns, channels, packed.outs, compress, *apart, torch.get_num_threads())
        call = _Call(*sizes, *(tensor.data_ptr() for tensor in (x, mean, scale, weight, y)))
        check(self._run(ctypes.addressof(call)))
        return y


CODE = Code(
    "normalisation",
    single(Path(__file__).parent / "normalise.cpp"),
    for_any_form(NormalisationKernel),
    "features are not normalised by compiled code, scores of flows take longer",
)
