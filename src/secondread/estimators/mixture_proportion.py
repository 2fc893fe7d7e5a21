"""How many of an unlabelled sample are abnormal, from scores of it and of normals alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from secondread.metrics.labelled_scores import Floats

DELTA = 0.1
GAMMA = 1.0
"""The paper takes 0.01, for thousands of images. With a few hundred, chance then passes for abnormal images:
at 500 normal and 400 unlabelled, and none abnormal, r is 0.05 or more in 22 % of samples, with 1.0 in 5 %."""


def anomaly_rate(normal: ArrayLike, unlabelled: ArrayLike) -> float:
    """The share r of abnormal images in an unlabelled sample, 0 to 1: best bin estimation.

        p_unlabelled = (1 - r) p_normal + r p_abnormal,  so  1 - r <= F_u(t) / F_n(t)  for every t,

    with F the shares of scores at or below t, and equality where no abnormal image scores below t. The
    smallest ratio of all thresholds would be too small by chance, the more the fewer normals lie
    below it. So t minimises an upper confidence bound of the ratio, and the ratio there is the estimate:

        t     = argmin (F_u(t) + (1 + gamma) (e_n + e_u)) / F_n(t),  e_m = sqrt(log(4 / delta) / (2 m))
        1 - r = min(1, F_u(t) / F_n(t))

    Where abnormal images look like normals, r comes out too small. `normal` `[n]` and `unlabelled` `[m]`
    are scores, higher = more abnormal, of images from which the score was not learned (cross-validated):
    otherwise r comes out too large by far.

    Source: S. Garg, Y. Wu, A. Smola, S. Balakrishnan, Z. Lipton, Mixture proportion estimation and PU
    learning: a modern approach, NeurIPS 2021; the bound of the ratio is that of G. Blanchard, G. Lee,
    C. Scott, Semi-supervised novelty detection, JMLR 2010.

    ValueError for an empty sample or a score that is not finite.
    """
    n, u = _sorted(normal, "normal"), _sorted(unlabelled, "unlabelled")
    thresholds = np.unique(n)  # between two normals F_n stays and F_u only rises
    share_n = np.searchsorted(n, thresholds, side="right") / n.size
    share_u = np.searchsorted(u, thresholds, side="right") / u.size
    error = sum(np.sqrt(np.log(4 / DELTA) / (2 * sample.size)) for sample in (n, u))
    best = int(np.argmin((share_u + (1 + GAMMA) * error) / share_n))
    return float(max(0.0, 1 - share_u[best] / share_n[best]))


def _sorted(scores: ArrayLike, name: str) -> Floats:
    values = np.sort(np.asarray(scores, dtype=np.float64))
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"the {name} scores must be a vector of at least one finite number")
    return values
