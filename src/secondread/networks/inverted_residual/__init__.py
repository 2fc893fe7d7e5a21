"""Inverted residual blocks of frozen networks in one compiled pass, whose expanded maps stay in the cache.

A block expands its map to several times the channels, filters each of them, and projects them back (Sandler
and others, MobileNetV2, CVPR 2018). Layer by layer, the expanded map is written and read twice, and most of
its convolutions are too small to hide what a call costs. Compiled, a few lines of some expanded channels are
made, filtered and kept until they are projected.
"""

from secondread.networks.inverted_residual.layers import InvertedResidual, Layer, Scale
from secondread.networks.inverted_residual.run import run_blocks

__all__ = ["InvertedResidual", "Layer", "Scale", "run_blocks"]
