"""Convolutions of width 3 in a quarter of the products, compiled for CPUs in float32.

Winograd's minimal filtering F(4×4, 3×3): each tile of 4×4 outputs comes from 6×6 inputs by 36 products in
place of 144, between transforms that add and multiply by small constants. The gradients of inputs and kernels
are its exact adjoints, and take as many. Its rounding is some four times that of a direct sum in float32.

Source: A. Lavin, S. Gray, Fast algorithms for convolutional neural networks, CVPR 2016.
"""

from secondread.networks.winograd.layer import Convolution3

__all__ = ["Convolution3"]
