"""Layers of decoders by compiled code, where a trial finds that faster than one after another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from secondread.networks.convolution3.doublings.kernel import CODE, LayersKernel
from secondread.networks.convolution3.doublings.packed import packed_layers
from secondread.networks.convolution3.frozen import is_worth_it
from secondread.networks.convolution3.fused_convolution import FusedSequence
from secondread.networks.native.choice import Choice, is_plain
from secondread.networks.native.trial import gain


def run_layers(x: Tensor, layers: Sequence[nn.Module], size: tuple[int, ...] | None = None) -> Tensor | None:
    """What layers give one after another, by one call of compiled code; None where that does not suit or is
    not faster. Where `size` is given, tanh of that, brought to this size by linear interpolation.

    It is for x `[N, C, H, W]` without gradient on a CPU in float32, transposed convolutions 2×2 of stride 2
    and convolutions 3×3 of stride 1 with a border of zeros, each with a ReLU behind it or none (a transposed
    one with tanh as well), and none with a hook. Weights are kept beside the first layer in the code's order,
    and made anew when a parameter has changed. What comes out is in channels-last order; an image's numbers
    are the same bits in every batch and on any number of threads. Both ways agree to some 1e-5 of a layer's
    largest value, as Winograd's products do.
    """
    suits = not torch.is_grad_enabled() and is_plain(x) and x.dim() == 4
    kernel = CHOICE.kernel() if suits else None
    return None if kernel is None else _run(x, layers, size, kernel)


def _run(
    x: Tensor, layers: Sequence[nn.Module], size: tuple[int, ...] | None, kernel: LayersKernel
) -> Tensor | None:
    if any(layer._forward_hooks or layer._forward_pre_hooks for layer in layers):
        return None
    packed = packed_layers(layers, kernel)
    rows, columns = x.shape[2:]
    if packed.into != x.shape[1] or not all(is_worth_it(rows * by, columns * by) for by in packed.filtered):
        return None
    to = None if size is None else (size[0], size[1])
    return kernel(x, packed.record, packed.count, packed.channels, packed.growth, to)


@torch.no_grad()
def _trial(kernel: LayersKernel) -> float:
    """On a small decoder."""
    generator = torch.Generator().manual_seed(0)
    layers = [
        nn.ConvTranspose2d(64, 32, 2, 2),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 2, 2),
    ]
    plain = FusedSequence(*layers).requires_grad_(False)
    x = torch.randn(1, 64, 16, 16, generator=generator).contiguous(memory_format=torch.channels_last)
    return gain({False: lambda: plain(x), True: lambda: _run(x, layers, None, kernel)})


CHOICE = Choice(CODE, _trial, without="layer by layer")
