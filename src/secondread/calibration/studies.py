"""A study's score: the largest of its images'."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secondread.calibration.raw_scores import Floats


@dataclass(frozen=True)
class StudyScores:
    """Studies in the order in which they first appear.

    scores   `[m]`, the maximum over the study's images
    studies  their ids; None for an image without one, which is a study of its own
    patients their patients
    images   `[m]`, how many images each has
    highest  `[m]`, the index of the image that gave the score
    """

    scores: Floats
    studies: list[str | None]
    patients: list[Hashable | None]
    images: NDArray[np.int64]
    highest: NDArray[np.int64]


def study_scores(
    scores: ArrayLike,
    studies: Sequence[str | None],
    patients: Sequence[Hashable | None] | None = None,
) -> StudyScores:
    """Group `[n]` image scores by study; with `patients`, equal ids of two patients are two studies."""
    values = np.asarray(scores, dtype=np.float64)
    owners: Sequence[Hashable | None] = [None] * len(studies) if patients is None else patients
    if values.shape != (len(studies),) or len(owners) != len(studies):
        raise ValueError(
            f"{len(studies)} studies and {len(owners)} patients are given for scores {values.shape}"
        )
    members: dict[object, list[int]] = {}
    for i, study in enumerate(studies):
        key = ("image", i) if study is None else ("study", owners[i], study)
        members.setdefault(key, []).append(i)
    highest = np.array([max(rows, key=lambda i: values[i]) for rows in members.values()], dtype=np.int64)
    return StudyScores(
        values[highest],
        [studies[i] for i in highest],
        [owners[i] for i in highest],
        np.array([len(rows) for rows in members.values()], dtype=np.int64),
        highest,
    )
