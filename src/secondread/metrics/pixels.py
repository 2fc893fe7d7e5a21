"""Pixel metrics over any number of large maps, one map at a time, in fixed memory.

Scores go into the ordered bins of `ordered_bins` (relative width 0.05 % at 20 bits), pixels of one bin
count as tied, and what that can change is reported beside each number. Dice at a threshold that is
given beforehand is exact.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from secondread.metrics.labelled_scores import Floats, as_labels
from secondread.metrics.ordered_bins import bin_of, lower_edge
from secondread.metrics.roc import area_to_limit

_PATIENT_BITS = 16


@dataclass(frozen=True)
class DiceOracle:
    """The best Dice of any threshold, chosen on the masks that it is judged by."""

    threshold: float
    dice: float


@dataclass(frozen=True)
class PixelMetrics:
    """Metrics of all valid pixels of all maps.

    auroc, average_precision   with `..._error`, the most that binning can have moved them
    pro                        mean share of each lesion that is found, averaged over false-positive
                               rates 0 to `pro_limit`, in [0, 1]
    dice                       at the given threshold, of all pixels together; None without a threshold
    dice_per_patient           the mean over patients with a lesion; None without a threshold
    dice_oracle                the best of any threshold, all pixels together
    dice_per_patient_oracle    the same of the mean over patients (bins of 0.8 %)
    false_positive_share       share of lesion-free patients' pixels at or above the threshold; None
                               without a threshold or such patients
    """

    auroc: float
    auroc_error: float
    average_precision: float
    average_precision_error: float
    pro: float
    pro_limit: float
    threshold: float | None
    dice: float | None
    dice_per_patient: float | None
    dice_oracle: DiceOracle
    dice_per_patient_oracle: DiceOracle
    false_positive_share: float | None
    images: int
    lesions: int
    patients_with_lesion: int
    abnormal_pixels: int
    normal_pixels: int


@dataclass
class PatientPixels:
    """What is kept of one patient: exact counts at the threshold, and sparse coarse histograms.

    lesion_shares  by bin, the shares of lesions that lie in it; their sum is `lesions`
    """

    called: int = 0
    hits: int = 0
    abnormal: int = 0
    pixels: int = 0
    bins: NDArray[np.int64] | None = None
    all_counts: NDArray[np.int64] | None = None
    hit_counts: NDArray[np.int64] | None = None
    lesion_shares: Floats | None = None
    lesions: int = 0


class PixelAccumulator:
    """Takes maps and masks one at a time; `result()` at any moment.

    Memory is `3 * 8 * 2 ** bits` bytes (25 MB at 20 bits) and some ten kilobytes per patient, however
    many maps come. `threshold` is the calibrated one, if there is one: a pixel is called where its
    value is at or above it.
    """

    def __init__(self, *, threshold: float | None = None, bits: int = 20) -> None:
        if not _PATIENT_BITS <= bits <= 24:
            raise ValueError(f"bits {bits} must lie between {_PATIENT_BITS} and 24")
        self.threshold = threshold
        self.bits = bits
        self._abnormal = np.zeros(1 << bits, dtype=np.int64)
        self._normal = np.zeros(1 << bits, dtype=np.int64)
        self._lesion_share = np.zeros(1 << bits, dtype=np.float64)
        self._lesions = 0
        self._images = 0
        self._patients: dict[object, PatientPixels] = {}

    def add(
        self,
        map: ArrayLike,
        mask: ArrayLike | None,
        *,
        patient: Hashable | None = None,
        valid: ArrayLike | None = None,
    ) -> None:
        """One map `[*spatial]` (float32, higher = more abnormal) and its mask of one shape, nonzero
        where abnormal; `mask` None = no lesion. Pixels outside `valid` are left out. A `patient` of
        None or "" is one of its own. ValueError for other shapes or a valid pixel that is not finite.
        """
        values = np.asarray(map, dtype=np.float32)
        abnormal = np.zeros(values.shape, np.bool_) if mask is None else np.asarray(mask) != 0
        counted = np.ones(values.shape, np.bool_) if valid is None else as_labels(valid)
        if abnormal.shape != values.shape or counted.shape != values.shape:
            raise ValueError(
                f"map {values.shape}, mask {abnormal.shape} and valid {counted.shape} differ in shape"
            )
        name = f"map {self._images}"
        abnormal = abnormal & counted
        if not np.isfinite(values[counted]).all():
            raise ValueError(f"{name} holds a pixel that is not finite")
        bins = bin_of(values, self.bits)
        self._normal += np.bincount(bins[counted & ~abnormal], minlength=self._normal.size)
        self._abnormal += np.bincount(bins[abnormal], minlength=self._abnormal.size)
        lesions = self._add_lesions(bins, abnormal)
        key = ("map", self._images) if patient is None or patient == "" else ("patient", patient)
        owner = self._patients.setdefault(key, PatientPixels())
        self._add_patient(owner, values, bins, abnormal, counted, lesions)
        self._images += 1

    def _add_lesions(
        self, bins: NDArray[np.int64], abnormal: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], Floats, int]:
        """Bins of lesions' pixels, the share of its lesion that each pixel is, and how many lesions there
        are."""
        if not abnormal.any():
            return np.zeros(0, np.int64), np.zeros(0), 0
        regions, count = ndimage.label(abnormal, structure=np.ones((3,) * abnormal.ndim))
        inside = regions[abnormal]
        share = 1.0 / np.bincount(inside)[inside]
        np.add.at(self._lesion_share, bins[abnormal], share)
        self._lesions += int(count)
        return bins[abnormal], share, int(count)

    def _add_patient(
        self,
        patient: PatientPixels,
        values: NDArray[np.float32],
        bins: NDArray[np.int64],
        abnormal: NDArray[np.bool_],
        counted: NDArray[np.bool_],
        lesions: tuple[NDArray[np.int64], Floats, int],
    ) -> None:
        patient.pixels += int(counted.sum())
        patient.abnormal += int(abnormal.sum())
        if self.threshold is not None:
            called = (values.astype(np.float64) >= self.threshold) & counted
            patient.called += int(called.sum())
            patient.hits += int((called & abnormal).sum())
        coarse = bins >> (self.bits - _PATIENT_BITS)
        size = 1 << _PATIENT_BITS
        everything = np.bincount(coarse[counted], minlength=size)
        hits = np.bincount(coarse[abnormal], minlength=size)
        where, share, count = lesions
        shares = np.zeros(size)
        np.add.at(shares, where >> (self.bits - _PATIENT_BITS), share)
        if patient.bins is not None and patient.all_counts is not None and patient.hit_counts is not None:
            everything[patient.bins] += patient.all_counts
            hits[patient.bins] += patient.hit_counts
            shares[patient.bins] += 0.0 if patient.lesion_shares is None else patient.lesion_shares
        patient.bins = np.flatnonzero(everything)
        patient.all_counts = everything[patient.bins]
        patient.hit_counts = hits[patient.bins]
        patient.lesion_shares = shares[patient.bins]
        patient.lesions += count

    def result(self, *, false_positive_limit: float = 0.3) -> PixelMetrics:
        """The metrics so far. ValueError where no abnormal or no normal pixel was seen."""
        abnormal_pixels, normal_pixels = int(self._abnormal.sum()), int(self._normal.sum())
        if not abnormal_pixels or not normal_pixels:
            missing = "abnormal" if not abnormal_pixels else "normal"
            raise ValueError(f"{self._images} masks hold no {missing} pixel: pixel metrics need both classes")
        used = np.flatnonzero(self._abnormal + self._normal)[::-1]
        gained, alarmed = self._abnormal[used].astype(np.float64), self._normal[used].astype(np.float64)
        found, alarms = np.cumsum(gained), np.cumsum(alarmed)
        precision, precision_error = _average_precision(gained, alarmed, found, alarms)
        return PixelMetrics(
            auroc=float(
                (gained * (normal_pixels - alarms + alarmed / 2)).sum() / (abnormal_pixels * normal_pixels)
            ),
            auroc_error=float((gained * alarmed).sum() / 2 / (abnormal_pixels * normal_pixels)),
            average_precision=precision,
            average_precision_error=precision_error,
            pro=area_to_limit(
                np.append(0.0, alarms / normal_pixels),
                np.append(0.0, np.cumsum(self._lesion_share[used]) / self._lesions),
                false_positive_limit,
            ),
            pro_limit=false_positive_limit,
            threshold=self.threshold,
            dice=self._pooled_dice(),
            dice_per_patient=self._dice_per_patient(),
            dice_oracle=self._best(2 * found / (found + alarms + abnormal_pixels), used, self.bits),
            dice_per_patient_oracle=self._dice_per_patient_oracle(),
            false_positive_share=self._false_positive_share(),
            images=self._images,
            lesions=self._lesions,
            patients_with_lesion=sum(p.abnormal > 0 for p in self._patients.values()),
            abnormal_pixels=abnormal_pixels,
            normal_pixels=normal_pixels,
        )

    @property
    def patients(self) -> list[PatientPixels]:
        """For `pixel_intervals`, which resamples them."""
        return list(self._patients.values())

    def _pooled_dice(self) -> float | None:
        if self.threshold is None:
            return None
        patients = self._patients.values()
        whole = sum(p.called + p.abnormal for p in patients)
        return 2 * sum(p.hits for p in patients) / whole

    def _dice_per_patient(self) -> float | None:
        if self.threshold is None:
            return None
        ill = [p for p in self._patients.values() if p.abnormal]
        return float(np.mean([2 * p.hits / (p.called + p.abnormal) for p in ill]))

    def _false_positive_share(self) -> float | None:
        healthy = [p for p in self._patients.values() if not p.abnormal and p.pixels]
        if self.threshold is None or not healthy:
            return None
        return sum(p.called for p in healthy) / sum(p.pixels for p in healthy)

    def _dice_per_patient_oracle(self) -> DiceOracle:
        total = np.zeros(1 << _PATIENT_BITS)
        count = 0
        for patient in self._patients.values():
            if not patient.abnormal or patient.bins is None:
                continue
            called, hits = np.zeros(total.size), np.zeros(total.size)
            called[patient.bins] = patient.all_counts
            hits[patient.bins] = patient.hit_counts
            called, hits = np.cumsum(called[::-1]), np.cumsum(hits[::-1])
            total += 2 * hits / (called + patient.abnormal)
            count += 1
        return self._best(total / count, np.arange(total.size)[::-1], _PATIENT_BITS)

    @staticmethod
    def _best(dice: Floats, bins: NDArray[np.int64], bits: int) -> DiceOracle:
        best = int(np.argmax(dice))
        return DiceOracle(float(lower_edge(bins[best : best + 1], bits)[0]), float(dice[best]))


def _average_precision(gained: Floats, alarmed: Floats, found: Floats, alarms: Floats) -> tuple[float, float]:
    """Average precision of tied bins, and how far any order of the pixels inside the bins could be
    from it (all abnormal pixels of a bin first, or all of them last)."""
    total = found[-1]
    tied = gained * found / (found + alarms)
    before = found - gained
    alone = alarmed == 0
    # with no normal pixel in the bin the order does not matter
    first = np.where(alone, tied, gained * found / np.maximum(found + alarms - alarmed, 1))
    last = np.where(alone, tied, gained * (before + 1) / (before + 1 + alarms))
    return float(tied.sum() / total), float(max((first - tied).sum(), (tied - last).sum(), 0.0) / total)
