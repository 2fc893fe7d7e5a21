"""The logarithm of the ratio of two densities as a linear function of features, from samples of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RUN = 10
LEAST_VARIANCE = 1e-6
"""Added to every variance of standardised features: some may be constant within both samples."""


@dataclass(frozen=True)
class LinearRatio:
    """log p_u(x) - log p_n(x) = x · weight + bias, for x `[n, features]`."""

    weight: Floats
    bias: float

    def __call__(self, x: Floats) -> Floats:
        return x @ self.weight + self.bias


FitRatio = Callable[[Floats, Floats], LinearRatio]
"""From normal and unlabelled features, each `[n, features]`."""


def logistic_ratio(normal: Floats, unlabelled: Floats, penalty: float) -> LinearRatio:
    """Logistic regression of normal against unlabelled, each weighing half whatever their numbers.

        loss = (mean_normal log(1 + exp f) + mean_unlabelled log(1 + exp -f)) / 2 + penalty / 2 · |w|²

    With both classes of equal weight, f(x) = w · x + b estimates log p_u(x) - log p_n(x). Deterministic.
    """
    from sklearn.linear_model import LogisticRegression

    x = np.concatenate((normal, unlabelled))
    y = np.repeat((0, 1), (len(normal), len(unlabelled)))
    model = LogisticRegression(
        C=1 / (len(x) * penalty), class_weight="balanced", max_iter=2000, tol=1e-6
    ).fit(x, y)
    return LinearRatio(model.coef_[0].astype(np.float64), float(model.intercept_[0]))


def gaussian_ratio(normal: Floats, unlabelled: Floats) -> LinearRatio:
    """Linear discriminant: two Gaussians of one covariance C, shrunk towards a multiple of the identity.

        f(x) = (m_u - m_n)ᵀ C⁻¹ (x - (m_u + m_n) / 2)

    C is the pooled covariance within both samples, with the shrinkage of O. Ledoit, M. Wolf, A
    well-conditioned estimator for large-dimensional covariance matrices, J. Multivariate Analysis 2004.
    """
    from sklearn.covariance import ledoit_wolf

    m_n, m_u = normal.mean(axis=0), unlabelled.mean(axis=0)
    covariance, _ = ledoit_wolf(np.concatenate((normal - m_n, unlabelled - m_u)), assume_centered=True)
    weight = np.linalg.solve(covariance + LEAST_VARIANCE * np.eye(len(m_n)), m_u - m_n)
    return LinearRatio(weight, float(-weight @ (m_u + m_n) / 2))


def cross_validated(normal: Floats, unlabelled: Floats, fit: FitRatio, folds: int) -> tuple[Floats, Floats]:
    """The log ratio of every normal `[n]` and unlabelled `[m]` image by fits that had not seen it.

    Runs of ten neighbours are dealt out to the folds in turn: nothing here knows patients, and a patient's
    images mostly stand together; larger blocks would set whole sites apart. At least two images each.
    """
    folds = min(folds, len(normal), len(unlabelled))
    found = np.empty(len(normal)), np.empty(len(unlabelled))
    fold_n, fold_u = _dealt(len(normal), folds), _dealt(len(unlabelled), folds)
    for fold in range(folds):
        ratio = fit(normal[fold_n != fold], unlabelled[fold_u != fold])
        for scores, sample, dealt in ((found[0], normal, fold_n), (found[1], unlabelled, fold_u)):
            scores[dealt == fold] = ratio(sample[dealt == fold])
    return found


def _dealt(n: int, folds: int) -> NDArray[np.intp]:
    """The fold of each of n images; every fold gets one at least."""
    return np.arange(n) // min(RUN, n // folds) % folds
