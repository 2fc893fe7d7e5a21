"""Whose each image is, as numbers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

Patients = Sequence[Hashable | None] | NDArray[np.generic]


def patient_numbers(patients: Patients) -> NDArray[np.int64]:
    """A number per image, from 0 in order of appearance, equal where the patient is; each None or "" gets its
    own."""
    if isinstance(patients, np.ndarray) and patients.dtype.kind in "iu":
        return _of_codes(patients)
    known: dict[object, int] = {}
    return np.array(
        [
            known.setdefault(("image", i) if p is None or p == "" else ("patient", p), len(known))
            for i, p in enumerate(patients)
        ],
        dtype=np.int64,
    )


def _of_codes(codes: NDArray[np.generic]) -> NDArray[np.int64]:
    """Of whole numbers, which are taken as they are where they are small."""
    if not codes.size:
        return np.zeros(0, np.int64)
    given = codes.astype(np.int64)
    if given.min() < 0 or given.max() > 4 * given.size + 1000:
        given = np.unique(given, return_inverse=True)[1].astype(np.int64)
    first = np.full(int(given.max()) + 1, given.size)
    first[given[::-1]] = np.arange(given.size)[::-1]  # of several, the first image is written last
    number = np.empty_like(first)
    number[np.argsort(first, kind="stable")] = np.arange(first.size)
    return number[given]
