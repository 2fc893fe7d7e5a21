"""Convolutions of width 3 that train fast on CPUs in float32: in a quarter of the products, compiled
(`winograd`), or as matrix products between many channels and a few (`thin`).

Winograd's minimal filtering F(4×4, 3×3): each tile of 4×4 outputs comes from 6×6 inputs by 36 products in
place of 144, between transforms that add and multiply by small constants. The gradients of inputs and kernels
are its exact adjoints, and take as many. Its rounding is some ten times that of oneDNN's sums in float32.

Convolutions of frozen networks are such, too (`frozen`), on channels-last maps, with kernels that are spread
to the 36 places once. `fused_convolution` takes them.

Source: A. Lavin, S. Gray, Fast algorithms for convolutional neural networks, CVPR 2016.
"""

from secondread.networks.convolution3.of_rank import convolution3

__all__ = ["convolution3"]
