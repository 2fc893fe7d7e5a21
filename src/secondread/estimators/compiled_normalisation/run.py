"""The normalisation by compiled code, where a trial finds that faster."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from secondread.estimators.compiled_normalisation.kernel import CODE, NormalisationKernel
from secondread.networks.native.choice import SINGLE, Choice, is_plain
from secondread.networks.native.kept import kept
from secondread.networks.native.state import state_of
from secondread.networks.native.trial import gain

KEPT = "_packed"


def compiled_normalisation(
    h: Tensor, module: nn.Module, mean: Tensor, scale: Tensor, matrix: Tensor, *, compress: bool
) -> Tensor | None:
    """matrix @ ((g(h) - mean) / scale) at each position, g(h) = sign(h) log(1 + |h|) where `compress`; None
    where that does not suit or is not faster.

    It is for h `[N, C, H, W]` without gradient on a CPU in float32, mean and scale `[C, H, W]` or `[C, 1, 1]`
    and a matrix `[K, C]`, which are the `module`'s own. They are kept beside it in the code's order, and made
    anew when one has changed. An image's numbers are the same bits in every batch and on any number of
    threads. Both ways agree to the rounding of float32, some 1e-6 of the largest value.
    """
    if torch.is_grad_enabled() or h.dim() != 4 or not is_plain(h):
        return None
    kernel = CHOICE.kernel()
    if kernel is None or not _fit(h, mean, scale, matrix):
        return None
    make = partial(kernel.pack, mean, scale, matrix)
    return kernel(h, kept(module, KEPT, (), state_of([module]), make), compress=compress)


def _fit(h: Tensor, mean: Tensor, scale: Tensor, matrix: Tensor) -> bool:
    sizes = (h.shape[1:], (h.shape[1], 1, 1))
    return (
        mean.shape in sizes
        and scale.shape in sizes
        and matrix.shape[1] == h.shape[1]
        and all(values.is_cpu and values.dtype is SINGLE for values in (mean, scale, matrix))
    )


@torch.no_grad()
def _trial(kernel: NormalisationKernel) -> float:
    """On a small map of many channels."""
    generator = torch.Generator().manual_seed(0)
    h, mean, scale = torch.rand(3, 256, 8, 8, generator=generator).unsqueeze(1).unbind()
    matrix = torch.randn(128, 256, generator=generator)
    h = h.contiguous(memory_format=torch.channels_last)
    packed = kernel.pack(mean[0], scale[0] + 1, matrix)

    def by_torch() -> None:
        rows = h.abs().log1p().copysign(h).movedim(1, -1) - mean.movedim(1, -1).contiguous()
        nn.functional.linear(rows / scale.movedim(1, -1).contiguous(), matrix)

    return gain({False: by_torch, True: lambda: kernel(h, packed, compress=True)})


CHOICE = Choice(CODE, _trial)
