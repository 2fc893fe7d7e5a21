"""What a process that judges is given, and what it answers where that is no decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Model:
    """Which fitted model: its place and digest, and what `load_model` takes."""

    path: str
    digest: str
    device: str
    allow: tuple[str, ...]


class Asked(NamedTuple):
    """Prepared images, as `FittedModel.judge` takes them."""

    pixels: NDArray[np.float32]
    valid: NDArray[np.bool_] | None
    digests: Sequence[str]
    maps: bool


@dataclass(frozen=True)
class Refused:
    """What went wrong, as a person should read it, and whether the data were to blame."""

    problem: str
    data: bool
