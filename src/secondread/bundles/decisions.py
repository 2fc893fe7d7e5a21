"""From prepared images to decisions, in memory: what files, notebooks and services have in common. No torch
here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from secondread.calibration.calibration import Calibration
from secondread.calibration.complexity import with_complexity
from secondread.calibration.raw_scores import Floats, RawScores
from secondread.wording.html_tables import html_block, html_table
from secondread.wording.numbers import count, number
from secondread.wording.sizes import times

MOST_SHOWN = 12


class Asked(Protocol):
    """What gives raw scores of prepared images: a detector (`scoring.scorer.Scorer`), or its graph."""

    def batch(
        self,
        images: NDArray[np.float32],
        valid: NDArray[np.bool_] | None,
        digests: Sequence[str],
        *,
        maps: bool = True,
    ) -> RawScores:
        """The raw parts `[n]` and, with `maps`, the maps `[n, *spatial]`, each image as if it were alone."""


@dataclass(frozen=True)
class Baseline:
    """A trivial baseline that judges the same images."""

    asked: Asked
    calibration: Calibration


@dataclass(frozen=True)
class Decisions:
    """What a fitted model says of n images, in their order; an image without a finite score has none.

    finite      bool `[n]`: whether the score is a finite number
    scores      float64 `[n]`, higher = more abnormal; nan where it is not finite
    p_values    float64 `[n]`, conformal, among the calibration's normals; nan where the score is not finite,
                and where no normal has calibrated the bundle
    flags       bool `[n]`: whether the score reaches the calibrated threshold, False without a p-value; None
                where too few normals have calibrated the bundle for its false-alarm rate, and so no image is
                flagged or passed
    parts       name -> float64 `[n]`, the detector's raw statistics
    baselines   name of a companion -> its score, float64 `[n]`; nan where it is not finite
    without_complexity  float64 `[n]`, the score as it would be with `complexity: none`; None where it is that
    maps        float32 `[n, *size]`, higher = more abnormal; None where none were asked for or there are none

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=40, n_abnormal=5)
    >>> bundle = secondread.fit("spectrum", manifest, "bundle", workers=0, progress=False)
    >>> image = secondread.read_image("phantoms/train/normal/00000-pa.png")
    >>> found = bundle.judge_images([image, image])
    >>> len(found), sorted(found.baselines)
    (2, ['mean-intensity', 'pixel-1nn', 'spectrum'])
    """

    finite: NDArray[np.bool_]
    scores: Floats
    p_values: Floats
    flags: NDArray[np.bool_] | None
    parts: Mapping[str, Floats]
    baselines: Mapping[str, Floats]
    without_complexity: Floats | None = None
    maps: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def _repr_html_(self) -> str:
        """As notebooks show it: the images with the highest scores, by their number."""
        order = np.argsort(-np.nan_to_num(self.scores, nan=-np.inf), kind="stable")[:MOST_SHOWN]
        lines = [
            (i, number(self.scores[i], 4), number(self.p_values[i], 4), "flagged" if self._flagged(i) else "")
            for i in order.tolist()
        ]
        return html_block(repr(self)[1:-1], html_table(("image", "score", "p-value", ""), lines))

    def __repr__(self) -> str:
        scored = self.scores[self.finite]
        between = f", scores {scored.min():.4g} to {scored.max():.4g}" if len(scored) else ""
        lost = f", {len(self) - len(scored)} not finite" if len(scored) < len(self) else ""
        maps = "" if self.maps is None else f", maps of {times(self.maps.shape[1:])}"
        flagged = "no decisions" if self.flags is None else f"{int(self.flags.sum())} flagged"
        return f"<Decisions on {count(len(self), 'image')}: {flagged}{between}{lost}{maps}>"

    def _flagged(self, index: int) -> bool:
        return self.flags is not None and bool(self.flags[index])


def decide(
    asked: Asked,
    calibration: Calibration,
    companions: Mapping[str, Baseline],
    pixels: NDArray[np.float32],
    valid: NDArray[np.bool_] | None,
    digests: Sequence[str],
    *,
    maps: bool,
) -> Decisions:
    """The decisions on prepared images `[n, C, *size]`; see `FittedModel.judge`."""
    maps = maps and calibration.maps is not None
    raw = asked.batch(pixels, valid, digests, maps=maps)
    raw = with_complexity(raw, pixels, calibration.settings)
    scores = combined(raw, calibration.combine)
    finite = np.isfinite(scores)
    p_values = np.full(len(scores), np.nan)
    flags = np.zeros(len(scores), bool) if calibration.flags_images else None
    if calibration.decides:
        p_values[finite] = calibration.p_values(scores[finite])
    if flags is not None:
        flags[finite] = calibration.flag(scores[finite])
    baselines = {
        name: combined(one.asked.batch(pixels, valid, digests, maps=False), one.calibration.combine)
        for name, one in companions.items()
    }
    plain = None
    if calibration.settings.complexity != "none":
        plain = combined(raw, calibration.combine_without_complexity)
    return Decisions(
        finite=finite,
        scores=scores,
        p_values=p_values,
        flags=flags,
        parts=raw.parts,
        baselines=baselines,
        without_complexity=plain,
        maps=calibration.combine_maps(raw) if maps and raw.maps else None,
    )


def combined(raw: RawScores, combine: Callable[[RawScores], Floats]) -> Floats:
    """Scores `[n]`, nan for an image with a part that is not finite."""
    scores = np.full(len(raw), np.nan)
    finite = np.flatnonzero(raw.finite)
    if len(finite):
        scores[finite] = combine(raw.without_maps().select(finite))
    return scores
