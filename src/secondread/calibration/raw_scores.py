"""What a detector said of some images, before calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from secondread.wording.short import Short

Floats = NDArray[np.float64]
Tail = Literal["upper", "two"]


@dataclass(frozen=True, repr=False)
class RawScores(Short):
    """Raw statistics of n images.

    parts  name -> float64 `[n]`
    tails  name -> "upper": higher = more abnormal; "two": far from the normals' median, either way
    maps   name -> float32 `[n, *size]`, higher = more abnormal; None where there are none

    Values may be non-finite here (`finite` says which images are not); calibration refuses them.
    """

    parts: Mapping[str, Floats]
    tails: Mapping[str, Tail]
    maps: Mapping[str, NDArray[np.float32]] | None = None

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("raw scores need at least one part")
        if set(self.tails) != set(self.parts):
            raise ValueError(f"tails are given for {sorted(self.tails)} and parts are {sorted(self.parts)}")
        lengths = {f"part {name!r}": np.shape(values) for name, values in self.parts.items()}
        if any(len(shape) != 1 or shape[0] != len(self) for shape in lengths.values()):
            raise ValueError(f"parts must be vectors of one length, not {lengths}")
        for name, values in (self.maps or {}).items():
            if values.ndim < 2 or len(values) != len(self):
                raise ValueError(f"map {name!r} has shape {values.shape} for {len(self)} images")

    def __len__(self) -> int:
        return len(next(iter(self.parts.values())))

    @property
    def finite(self) -> NDArray[np.bool_]:
        """`[n]`, True where every part of an image is finite."""
        return np.logical_and.reduce([np.isfinite(values) for values in self.parts.values()])

    def select(self, rows: Sequence[int] | NDArray[np.int64] | NDArray[np.bool_]) -> RawScores:
        """The given images, in the given order."""
        chosen = np.asarray(rows)
        maps = None if self.maps is None else {name: values[chosen] for name, values in self.maps.items()}
        return RawScores({name: values[chosen] for name, values in self.parts.items()}, self.tails, maps)

    def without_maps(self) -> RawScores:
        return RawScores(self.parts, self.tails)

    def with_part(self, name: str, values: Floats, tail: Tail = "upper") -> RawScores:
        """The same with one more part, or one replaced: `complexity`, which the caller measures."""
        return RawScores({**self.parts, name: values}, {**self.tails, name: tail}, self.maps)


def concatenate(batches: Sequence[RawScores]) -> RawScores:
    """Batches of one detector as one. ValueError where there is none, or their parts differ."""
    if not batches:
        raise ValueError("there are no raw scores to put together")
    first = batches[0]
    for batch in batches[1:]:
        if batch.tails != first.tails or set(batch.maps or ()) != set(first.maps or ()):
            raise ValueError(f"batches differ in their parts: {dict(first.tails)} and {dict(batch.tails)}")
    return RawScores(
        {name: np.concatenate([batch.parts[name] for batch in batches]) for name in first.parts},
        first.tails,
        None
        if first.maps is None
        else {name: np.concatenate([(batch.maps or {})[name] for batch in batches]) for name in first.maps},
    )
