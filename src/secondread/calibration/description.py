"""What a calibration promises, said with its limits."""

from __future__ import annotations

import math
from typing import Any

from secondread.calibration.calibration import Calibration
from secondread.calibration.conformal import Conformal
from secondread.metrics.realised_rate import patients_needed
from secondread.wording.numbers import count, rate


def describe(calibration: Calibration) -> dict[str, Any]:
    """A JSON-able account.

    false_alarm_rate    what was asked for among new normals: promised where there is a threshold
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
    asked = calibration.settings.false_alarm_rate
    images = _level(calibration.images, asked, "images")
    studies = None if calibration.studies is None else _level(calibration.studies, asked, "studies")
    scores = calibration.images.scores.size
    without = calibration.without_patient
    active = calibration.adjusted or calibration.mixture
    return {
        "false_alarm_rate": asked,
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


def _level(conformal: Conformal, asked: float, what: str) -> dict[str, Any]:
    threshold = conformal.threshold(asked)
    realised = conformal.realised_range(asked)
    return {
        "scores": int(conformal.scores.size),
        "patients": conformal.patients,
        "patients_needed": patients_needed(asked),
        "enough": math.isfinite(threshold),
        "threshold": threshold if math.isfinite(threshold) else None,
        "false_alarm_rate_range": None if realised is None else list(realised),
        "words": _promise(conformal, asked, what),
    }


def _words(calibration: Calibration) -> list[str]:
    asked = calibration.settings.false_alarm_rate
    words = [_promise(calibration.images, asked, "images")]
    if calibration.studies is not None:
        words.append(_promise(calibration.studies, asked, "studies"))
        words.append(
            "A study's score is the largest of its images; calibration studies had "
            f"{_images(calibration)} on average, and studies with more are flagged more often."
        )
    without, scores = calibration.without_patient, calibration.images.scores.size
    if scores and without == scores:
        words.append(
            "The calibration normals had no patient ids: every image counts as a patient of its own, and the "
            "promise is too confident where patients have several images."
        )
    elif without:
        words.append(
            f"{without} of {count(scores, 'calibration image')} had no patient id; each of these counts as a "
            "patient of its own."
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


def _images(calibration: Calibration) -> str:
    """`1 image`, `2.5 images`."""
    mean = f"{calibration.images_per_study or 0:.3g}"
    return f"{mean} image" if mean == "1" else f"{mean} images"


def _promise(conformal: Conformal, asked: float, what: str) -> str:
    needed = patients_needed(asked)
    realised = conformal.realised_range(asked)
    if not conformal.patients:
        return (
            "No normal has calibrated this: scores rank images, and none has a p-value or can be flagged. "
            f"`secondread calibrate` with normals of {needed} or more patients makes both, for a false-alarm "
            f"rate of {rate(asked)}."
        )
    if realised is None:
        return (
            f"Too few calibration normals: {count(conformal.patients, 'patient')}, and a false-alarm rate of "
            f"{rate(asked)} needs at least {needed}. No {'image' if what == 'images' else 'study'} can be "
            "flagged, and nothing is promised."
        )
    return (
        f"At most {rate(asked)} of new normal {what} are flagged, on average over calibration sets; "
        f"with {count(conformal.patients, 'patient')} as here the rate lies between {rate(realised[0])} and "
        f"{rate(realised[1])} (95 % of such sets). This holds only while new normals resemble these."
    )
