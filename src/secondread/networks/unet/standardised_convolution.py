"""Convolutions whose weights are standardised, for normalisation by groups in small batches."""

from __future__ import annotations

from torch import Tensor, nn

EPSILON = 1e-5


class StandardisedConvolution2d(nn.Conv2d):
    """w' = (w - mean w) / (sd w + 1e-5), over each output channel's weights, in place of w.

    The standard deviation is the unbiased one. Source: S. Qiao, H. Wang, C. Liu, W. Shen, A. Yuille, Weight
    standardization, arXiv 1903.10520.
    """

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, standardised(self.weight), self.bias)


class StandardisedConvolution3d(nn.Conv3d):
    """The same for volumes."""

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
