"""Which form of a convolution of width 3 trains fastest."""

from __future__ import annotations

from torch import nn

from secondread.networks.by_rank import CONVOLUTION
from secondread.networks.convolution3.thin import ThinConvolution3
from secondread.networks.convolution3.winograd import Convolution3

THIN = 4
"""Channels of the thinner side, up to which a convolution is a matrix product with a column for each tap."""
WIDE = 32
"""And of the other, from which that is faster."""


def convolution3(rank: int, channels_in: int, channels_out: int, *, bias: bool = True) -> nn.Module:
    """A convolution of width 3 with a border of one zero in the form that trains fastest; its parameters have
    the names and shapes of torch's, and begin as those."""
    if rank != 2:
        return CONVOLUTION[rank](channels_in, channels_out, 3, padding=1, bias=bias)
    thin, wide = sorted((channels_in, channels_out))
    kind = ThinConvolution3 if thin <= THIN and wide >= WIDE else Convolution3
    return kind(channels_in, channels_out, bias=bias)
