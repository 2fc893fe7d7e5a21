"""Couplings of a flow on small maps in one compiled call, where each of PyTorch's operations takes longer to
begin than to compute: two convolutions, the affine change, scale, offset and permutation of all blocks.
"""
