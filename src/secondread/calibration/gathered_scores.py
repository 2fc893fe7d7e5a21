"""The raw scores of one cohort, gathered batch by batch without keeping a map."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from secondread.calibration.map_moments import MapMoments
from secondread.calibration.raw_scores import RawScores, concatenate


class GatheredScores:
    """Parts, patients and studies of all images, and the moments and a sample of their maps.

    For each batch of `Scorer.set` call `add`; then give it to `Calibration.fit` or `.recalibrate`. Its
    memory grows by some numbers per image; maps stay within `map_sample` pixels.
    """

    def __init__(self, *, map_sample: int = 1 << 20, seed: int = 0) -> None:
        self.maps = MapMoments(sample=map_sample, seed=seed)
        self.patients: list[Hashable | None] = []
        self.studies: list[str | None] = []
        self._batches: list[RawScores] = []

    def add(
        self,
        raw: RawScores,
        *,
        patients: Sequence[Hashable | None] | None = None,
        studies: Sequence[str | None] | None = None,
        valid: NDArray[np.bool_] | None = None,
    ) -> None:
        """One batch; `patients` and `studies` `[n]` where known (None or "" = unknown), `valid` True
        where maps are not padding."""
        for what, given in (("patients", patients), ("studies", studies)):
            if given is not None and len(given) != len(raw):
                raise ValueError(f"{len(given)} {what} are given for {len(raw)} images")
        self.patients += [None] * len(raw) if patients is None else [None if p == "" else p for p in patients]
        self.studies += [None] * len(raw) if studies is None else [s or None for s in studies]
        self._batches.append(raw.without_maps())
        if raw.maps:
            self.maps.update(raw.maps, valid)

    def __len__(self) -> int:
        return len(self.patients)

    @property
    def raw(self) -> RawScores:
        """The parts of all images, in order, without maps. ValueError where nothing was added."""
        return concatenate(self._batches)
