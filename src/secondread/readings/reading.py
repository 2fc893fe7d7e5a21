"""One image's result, as scoring wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from secondread.wording.short import Short


@dataclass(frozen=True, slots=True, repr=False)
class Reading(Short):
    """One image's result, as scoring wrote it.

    path       the reference as given to `score`: a manifest's path string, or a path
    frame      its place in the sequence that it is a frame of, from 0; None where it is none
    time_s     its seconds from the first frame, where the header says so
    score      higher = more abnormal; None where the image failed
    p_value    conformal p-value among calibration normals; None where no normal has calibrated the bundle
    flagged    whether the score reached the calibrated threshold; None without a p-value, and where too few
               normals have calibrated the bundle for its false-alarm rate
    parts      the raw named statistics of the detector
    baselines  scores of the trivial one-class baselines, by name
    seen       the cohort in which the bundle saw these pixels (by digest), or empty
    error      why the image gave no score, or empty
    map        the heat map's file, or None
    remarks    what a person should know of the image (missing slices, a tilted gantry, a constant image, …)
    """

    path: str
    digest: str = ""
    study_id: str = ""
    frame: int | None = None
    time_s: float | None = None
    score: float | None = None
    p_value: float | None = None
    flagged: bool | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    baselines: Mapping[str, float] = field(default_factory=dict)
    score_without_complexity: float | None = None
    seen: str = ""
    error: str = ""
    map: Path | None = None
    remarks: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        return self.score is None


def as_text(value: Any) -> str:
    """A cell: numbers as Python prints them exactly, flags as `true` and `false`, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return repr(float(value))
    return str(value)
