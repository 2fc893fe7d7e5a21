"""Intervals of pixel metrics by resampling patients, from the coarse histograms that are kept of each.

Bins are put together until each holds at most 1/256 of the abnormal or of the normal pixels, which moves the
draws' spread by less than they are sure; the interval lies around the exact figure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from secondread.metrics.bootstrap import on_logit_scale, patient_weights
from secondread.metrics.few_patients import FEWEST
from secondread.metrics.labelled_scores import Floats
from secondread.metrics.pixels import PatientPixels, PixelMetrics
from secondread.metrics.roc import area_to_limit

GROUPS = 512
Pair = tuple[float, float]


def pixel_intervals(
    patients: Sequence[PatientPixels],
    metrics: PixelMetrics,
    *,
    repeats: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Pair]:
    """Intervals of auroc, average_precision, pro, and with a threshold of dice, dice_per_patient and
    false_positive_share, by these names, on the logit scale (`bootstrap.on_logit_scale`).

    None is given with fewer than `few_patients.FEWEST` patients with a lesion (for false_positive_share: of
    those without one), whose spread tells too little, nor of a figure that is 0 or 1 or the same in every
    draw.
    """
    ill = np.array([patient.abnormal > 0 for patient in patients])
    enough = {"ill": int(ill.sum()) >= FEWEST, "healthy": int((~ill).sum()) >= FEWEST}
    if not any(enough.values()):
        return {}
    abnormal, normal, shares = _grouped(patients)
    lesions = np.array([patient.lesions for patient in patients], dtype=np.float64)
    called, hits, sizes, all_pixels = (
        np.array([getattr(patient, name) for patient in patients], dtype=np.float64)
        for name in ("called", "hits", "abnormal", "pixels")
    )
    own_dice = np.where(ill, 2 * hits / np.maximum(called + sizes, 1), 0.0)
    draws: dict[str, list[Floats]] = {}
    for weights in patient_weights([None] * len(patients), repeats, seed):
        with np.errstate(invalid="ignore", divide="ignore"):
            found = _areas(weights @ abnormal, weights @ normal)
            found["pro"] = _pro(weights @ shares, weights @ normal, weights @ lesions, metrics.pro_limit)
            found["dice"] = 2 * (weights @ hits) / (weights @ (called + sizes))
            found["dice_per_patient"] = (weights @ own_dice) / (weights @ ill)
            found["false_positive_share"] = (weights @ (called * ~ill)) / (weights @ (all_pixels * ~ill))
        for name, values in found.items():
            draws.setdefault(name, []).append(values)
    result = {}
    for name, chunks in draws.items():
        value = getattr(metrics, name)
        if value is None or not enough["healthy" if name == "false_positive_share" else "ill"]:
            continue
        interval = on_logit_scale(value, np.concatenate(chunks), level)
        if interval.low < interval.high:
            result[name] = (interval.low, interval.high)
    return result


def _grouped(patients: Sequence[PatientPixels]) -> tuple[Floats, Floats, Floats]:
    """Abnormal pixels, normal pixels and shares of lesions, `[patients, groups]`, from the highest value
    down."""
    used = np.unique(np.concatenate([_bins(patient) for patient in patients]))[::-1]
    place = {int(bin): index for index, bin in enumerate(used)}
    rows = [np.array([place[int(bin)] for bin in _bins(patient)], dtype=np.int64) for patient in patients]
    totals = np.zeros((2, used.size))
    for patient, at in zip(patients, rows, strict=True):
        assert patient.all_counts is not None
        assert patient.hit_counts is not None
        totals[0, at] += patient.hit_counts
        totals[1, at] += patient.all_counts - patient.hit_counts
    part = np.cumsum(totals, axis=1) / np.maximum(totals.sum(axis=1, keepdims=True), 1)
    _, group = np.unique(np.floor(part.mean(axis=0) * (GROUPS - 1)), return_inverse=True)
    count = int(group.max()) + 1
    abnormal, normal, shares = (np.zeros((len(patients), count)) for _ in range(3))
    for index, (patient, at) in enumerate(zip(patients, rows, strict=True)):
        assert patient.all_counts is not None
        assert patient.hit_counts is not None
        assert patient.lesion_shares is not None
        abnormal[index] = np.bincount(group[at], patient.hit_counts, count)
        normal[index] = np.bincount(group[at], patient.all_counts - patient.hit_counts, count)
        shares[index] = np.bincount(group[at], patient.lesion_shares, count)
    return abnormal, normal, shares


def _bins(patient: PatientPixels) -> NDArray[np.int64]:
    return np.zeros(0, np.int64) if patient.bins is None else patient.bins


def _areas(gained: Floats, alarmed: Floats) -> dict[str, Floats]:
    """AUROC and average precision of `[b, groups]` counts, from the highest value down."""
    found, alarms = np.cumsum(gained, axis=1), np.cumsum(alarmed, axis=1)
    positives, negatives = found[:, -1], alarms[:, -1]
    above = negatives[:, None] - alarms + alarmed / 2
    precision = found / np.maximum(found + alarms, 1)
    return {
        "auroc": (gained * above).sum(axis=1) / (positives * negatives),
        "average_precision": (gained * precision).sum(axis=1) / positives,
    }


def _pro(shares: Floats, alarmed: Floats, lesions: Floats, limit: float) -> Floats:
    rates, heights = np.cumsum(alarmed, axis=1), np.cumsum(shares, axis=1)
    values = np.full(len(lesions), np.nan)
    for row in np.flatnonzero((lesions > 0) & (rates[:, -1] > 0)):
        rate = np.append(0.0, rates[row] / rates[row, -1])
        values[row] = area_to_limit(rate, np.append(0.0, heights[row] / lesions[row]), limit)
    return values
