"""Whose each image is, as numbers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

Patients = Sequence[Hashable | None] | NDArray[np.generic]


def patient_numbers(patients: Patients) -> NDArray[np.int64]:
    """A number per image, from 0 in order of appearance, equal where the patient is; each None or "" gets its
    own."""
    known: dict[object, int] = {}
    return np.array(
        [
            known.setdefault(("image", i) if p is None or p == "" else ("patient", p), len(known))
            for i, p in enumerate(patients)
        ],
        dtype=np.int64,
    )
