"""What a calibration promises, said with its limits."""

from __future__ import annotations

import math
from typing import Any

from secondread.calibration.calibration import Calibration
from secondread.calibration.conformal import Conformal, patients_needed


def describe(calibration: Calibration) -> dict[str, Any]:
    """A JSON-able account.

    false_alarm_rate    what is promised among new normals
    threshold           of image scores; None where nothing can be flagged
    study_threshold     of study scores; None where nothing can be flagged or there were no study ids
    images, studies     scores, patients, patients_needed for this rate, enough, threshold,
                        false_alarm_rate_range: 95 % range of the realised rate for this calibration set,
                        words: the promise, or why nothing can be flagged
    tolerance           of ties: scores no farther apart than that count as equal
    patient_ids         "all", "some" or "none" of the calibration normals had one
    map_scale, map_threshold, complexity, parts, recalibrated
    of_unlabelled       the fit had no normal: parts and maps are scaled on its unlabelled images
    words               the same in sentences
    """
    rate = calibration.settings.false_alarm_rate
    images = _level(calibration.images, rate, "images")
    studies = None if calibration.studies is None else _level(calibration.studies, rate, "studies")
    scores = calibration.images.scores.size
    without = calibration.without_patient
    active = calibration.adjusted or calibration.mixture
    return {
        "false_alarm_rate": rate,
        "threshold": images["threshold"],
        "study_threshold": None if studies is None else studies["threshold"],
        "tolerance": calibration.images.tolerance,
        "images": images,
        "studies": studies,
        "patient_ids": "none" if without == scores else "some" if without else "all",
        "images_without_patient_id": without,
        "images_per_study": calibration.images_per_study,
        "validation_images": calibration.validation_images,
        "complexity": calibration.settings.complexity,
        "scaled": active.scaled,
        "parts": {
            name: {
                "weight": scale.weight,
                "tail": scale.tail,
                "median": scale.median,
                "mean": scale.mean,
                "sd": scale.sd,
                "varies_among_normals": scale.spread,
            }
            for name, scale in active.parts.items()
        },
        "map_scale": None if calibration.map_scale is None else list(calibration.map_scale),
        "map_threshold": calibration.map_threshold,
        "pixel_false_alarm_rate": calibration.settings.pixel_false_alarm_rate,
        "recalibrated": calibration.recalibrated,
        "of_unlabelled": calibration.of_unlabelled,
        "words": _words(calibration),
    }


def _level(conformal: Conformal, rate: float, what: str) -> dict[str, Any]:
    threshold = conformal.threshold(rate)
    realised = conformal.realised_range(rate)
    return {
        "scores": int(conformal.scores.size),
        "patients": conformal.patients,
        "patients_needed": patients_needed(rate),
        "enough": math.isfinite(threshold),
        "threshold": threshold if math.isfinite(threshold) else None,
        "false_alarm_rate_range": None if realised is None else list(realised),
        "words": _promise(conformal, rate, what),
    }


def _words(calibration: Calibration) -> list[str]:
    rate = calibration.settings.false_alarm_rate
    words = [_promise(calibration.images, rate, "images")]
    if calibration.studies is not None:
        words.append(_promise(calibration.studies, rate, "studies"))
        words.append(
            f"A study's score is the largest of its images; calibration studies had "
            f"{calibration.images_per_study:.3g} images on average, and studies with more "
            f"are flagged more often."
        )
    without, scores = calibration.without_patient, calibration.images.scores.size
    if scores and without == scores:
        words.append(
            "The calibration normals had no patient ids: every image counts as a patient of its own, and the "
            "promise is too confident where patients have several images."
        )
    elif without:
        words.append(
            f"{without} of {scores} calibration images had no patient id and count as patients of their own."
        )
    flat = [
        name
        for name, scale in (calibration.adjusted or calibration.mixture).parts.items()
        if not scale.spread
    ]
    if flat:
        among = "unlabelled images" if calibration.of_unlabelled else "validation normals"
        words.append(f"These parts do not vary among {among} and are not scaled: {', '.join(flat)}.")
    if calibration.recalibrated:
        words.append(
            "Thresholds were redone on other normals; the scale of the score is that of the first fit."
        )
    return words


def _promise(conformal: Conformal, rate: float, what: str) -> str:
    needed = patients_needed(rate)
    realised = conformal.realised_range(rate)
    if not conformal.patients:
        return (
            "No normal has calibrated this: scores rank images, and none has a p-value or can be flagged. "
            f"`secondread calibrate` with normals of {needed} or more patients makes both, for a false-alarm "
            f"rate of {rate:.3g}."
        )
    if realised is None:
        return (
            f"Too few calibration normals: {conformal.patients} patients, and a false-alarm rate of "
            f"{rate:.3g} needs at least {needed}. "
            f"No {'image' if what == 'images' else 'study'} can be flagged."
        )
    return (
        f"At most {rate:.3g} of new normal {what} are flagged, on average over calibration sets; "
        f"with these {conformal.patients} patients the rate lies between {realised[0]:.3g} and "
        f"{realised[1]:.3g} (95 %). This holds only while new normals resemble these."
    )
