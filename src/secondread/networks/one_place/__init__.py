"""Convolutions between a whole map and one place, as products of matrices."""

from secondread.networks.one_place.layers import from_one_place, to_one_place

__all__ = ["from_one_place", "to_one_place"]
