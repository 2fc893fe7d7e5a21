"""How many images are read together. No torch here."""

from __future__ import annotations

import math
from collections.abc import Sequence

ELEMENTS_PER_BATCH = 1 << 19


def default_batch_size(size: Sequence[int]) -> int:
    """As many images as hold about half a million elements: 8 of 256×256, one volume of 128³. With more, an
    encoder's maps on a CPU outgrow what the allocator keeps, and every batch pays for fresh memory."""
    return max(1, min(64, ELEMENTS_PER_BATCH // math.prod(size)))
