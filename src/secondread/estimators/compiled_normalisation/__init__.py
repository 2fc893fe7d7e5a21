"""Features compressed, standardised and projected in one compiled pass, some positions at a time: of a
small map, each of these operations alone takes less than its call."""

from secondread.estimators.compiled_normalisation.run import compiled_normalisation

__all__ = ["compiled_normalisation"]
