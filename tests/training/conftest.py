import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from secondread.scoring.image_source import ArraySource


@pytest.fixture
def cohorts() -> Callable[..., dict[str, ArraySource]]:
    def make(normal: int = 11, validation: int = 5, size: tuple[int, ...] = (8, 8)) -> dict[str, ArraySource]:
        rng = np.random.default_rng(0)
        return {
            "normal": ArraySource(rng.normal(size=(normal, 1, *size))),
            "validation": ArraySource(rng.normal(size=(validation, 1, *size))),
        }

    return make
