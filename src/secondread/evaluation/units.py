"""Scored and labelled images or studies, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from secondread.packed import Chosen
from secondread.wording.short import Short

Unit = Literal["image", "study"]


@dataclass(frozen=True, repr=False)
class Units(Short):
    """Scored and labelled units, as parallel arrays of one length.

    flagged    at the calibrated threshold, or None where the run made no decisions
    p_values   NaN where there is none
    groups     who is resampled together, the patient, as a number
    """

    names: Sequence[str]
    abnormal: NDArray[np.bool_]
    scores: NDArray[np.float64]
    flagged: NDArray[np.bool_] | None
    p_values: NDArray[np.float64]
    groups: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def only(self, keep: NDArray[np.bool_]) -> Units:
        return Units(
            names=Chosen(self.names, np.flatnonzero(keep)),
            abnormal=self.abnormal[keep],
            scores=self.scores[keep],
            flagged=None if self.flagged is None else self.flagged[keep],
            p_values=self.p_values[keep],
            groups=self.groups[keep],
        )
