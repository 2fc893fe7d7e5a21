"""Decoders of frozen networks in one compiled pass: transposed convolutions 2×2 of stride 2, which double a
map, and convolutions 3×3, each with the activation that follows it.

A transposed convolution whose windows do not overlap is one product, from the channels of each position to
four times those that come out, which are written to the finer grid as they are made. Convolutions 3×3 are
those of `convolution3.frozen`. Layer by layer, each call costs as much as the arithmetic of such small maps.
"""

from secondread.networks.convolution3.doublings.run import run_layers

__all__ = ["run_layers"]
