"""A 3×3 convolution that trains by the compiled one where a trial finds it faster than torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from secondread.networks.convolution3.kernel import CODE, WinogradKernel
from secondread.networks.native.choice import Choice, is_plain
from secondread.networks.native.trial import gain

FEWEST_CHANNELS = 32
"""On both sides, from which products take longer than transforms."""
FEWEST_TILES = 128
"""Of 4×4 in a batch, from which they take longer than the transforms of weights."""


class Convolution3(nn.Conv2d):
    """A convolution 3×3 with a border of one zero, as torch has it: `[N, I, H, W]` to `[N, O, H, W]`.

    Where a gradient is wanted on a CPU in float32, of enough channels and positions, it is the compiled one,
    if there is one and a trial on this machine found it faster. Both agree to rounding, some 1e-5 of the
    largest value. Elsewhere, and for gradients of gradients, it is torch's.
    """

    def __init__(self, channels_in: int, channels_out: int, *, bias: bool = True) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        kernel = CHOICE.kernel() if self._suits(x) else None
        if kernel is None:
            return super().forward(x)
        y: Tensor = _Compiled.apply(x, self.weight, self.bias, kernel)
        return y

    def _suits(self, x: Tensor) -> bool:
        return (
            torch.is_grad_enabled()
            and is_plain(x)
            and self.weight.dtype is x.dtype
            and min(self.weight.shape[:2]) >= FEWEST_CHANNELS
            and x.dim() == 4
            and len(x) * (x.shape[2] // 4) * (x.shape[3] // 4) >= FEWEST_TILES
        )


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, kernel: WinogradKernel) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.kernel, ctx.biased = kernel, bias is not None
        return kernel.forward(x.contiguous(), weight.contiguous(), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad[:3]
        (gradient,) = gradients
        if torch.is_grad_enabled():  # of which gradients are wanted, too
            sizes = [len(weight)] if ctx.biased else None
            wanted = [to_x, to_weight, to_bias]
            found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
                gradient, x, weight, sizes, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
            )
            return (*found, None)
        gradient, kernel = gradient.contiguous(), ctx.kernel
        return (
            kernel.to_input(gradient, weight.contiguous()) if to_x else None,
            kernel.to_weight(x.contiguous(), gradient) if to_weight else None,
            gradient.sum(dim=(0, 2, 3)) if to_bias else None,
            None,
        )


@torch.no_grad()
def _trial(kernel: WinogradKernel) -> float:
    """On both passes of a layer between middling ones."""
    generator = torch.Generator().manual_seed(0)
    x, gradient = (torch.randn(2, 64, 32, 32, generator=generator) for _ in range(2))
    weight = torch.randn(64, 64, 3, 3, generator=generator) / 24

    def direct() -> None:
        torch.conv2d(x, weight, None, 1, 1)
        one, wanted = [1, 1], [True, True, False]
        torch.ops.aten.convolution_backward(
            gradient, x, weight, None, one, one, one, False, [0, 0], 1, wanted
        )

    def compiled() -> None:
        kernel.forward(x, weight, None)
        kernel.to_input(gradient, weight)
        kernel.to_weight(x, gradient)

    return gain({False: direct, True: compiled})


CHOICE = Choice(CODE, _trial)
