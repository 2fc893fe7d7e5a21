"""Convolutions whose weights are standardised, for normalisation by groups in small batches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondread.networks.as_graph import written_as_graph
from secondread.networks.by_rank import channels_last
from secondread.networks.convolution3.fused_convolution import convolve
from secondread.networks.native.kept import kept
from secondread.networks.native.state import state_of

EPSILON = 1e-5


class StandardisedConvolution2d(nn.Conv2d):
    """w' = (w - mean w) / (sd w + 1e-5), over each output channel's weights, in place of w.

    The standard deviation is the unbiased one. Without gradient w' is kept until a parameter changes, on a
    CPU in the order in which it is multiplied (`fused_convolution`).

    Source: S. Qiao, H. Wang, C. Liu, W. Shen, A. Yuille, Weight standardization, arXiv 1903.10520.
    """

    def forward(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled() or written_as_graph():
            return self._conv_forward(input, standardised(self.weight), self.bias)
        if self.padding_mode != "zeros":
            input = functional.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
        return convolve(channels_last(input), _plain(self), relu=False)


class StandardisedConvolution3d(nn.Conv3d):
    """The same for volumes, whose weights are made anew at each call."""

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, standardised(self.weight), self.bias)


STANDARDISED_CONVOLUTION: dict[int, type[nn.Module]] = {
    2: StandardisedConvolution2d,
    3: StandardisedConvolution3d,
}


def standardised(weight: Tensor) -> Tensor:
    """Each output channel's weights `[out, ...]` with mean 0 and standard deviation 1."""
    flat = weight.float().flatten(1)
    centred = flat - flat.mean(dim=1, keepdim=True)
    return (centred / (flat.std(dim=1, keepdim=True) + EPSILON)).view_as(weight)


def _plain(convolution: StandardisedConvolution2d) -> nn.Conv2d:
    """A plain convolution of w'."""
    return kept(convolution, "_plain", (), state_of((convolution,)), lambda: _made(convolution))


def _made(convolution: StandardisedConvolution2d) -> nn.Conv2d:
    bias = convolution.bias
    with torch.inference_mode(False), torch.no_grad():  # whose tensors tell whether they have changed
        plain: nn.Conv2d = nn.utils.skip_init(  # which draws no random numbers
            nn.Conv2d,
            convolution.in_channels,
            convolution.out_channels,
            convolution.kernel_size,
            convolution.stride,
            convolution.padding if convolution.padding_mode == "zeros" else 0,
            convolution.dilation,
            convolution.groups,
            bias is not None,
        )
        weight = standardised(convolution.weight).contiguous(memory_format=torch.channels_last)
        plain.weight = nn.Parameter(weight, requires_grad=False)
        if bias is not None:
            plain.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return plain
