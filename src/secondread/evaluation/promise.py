"""What the run's calibration promised, as `run.json` tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secondread.readings.readings import Readings


@dataclass(frozen=True)
class Promise:
    """A threshold and the false-alarm rate it stands for, while new normals resemble calibration's.

    rate_range   the central 95 % of the true rate over calibration sets of this size (Beta)
    patients     calibration patients that the threshold rests on
    needed       how many patients this rate needs
    patient_ids  whether "all", "some" or "none" of the calibration normals had one
    words        the promise and its limits in sentences, as the calibration tells them
    """

    threshold: float | None = None
    rate: float | None = None
    rate_range: tuple[float, float] | None = None
    patients: int | None = None
    needed: int | None = None
    patient_ids: str = ""
    words: tuple[str, ...] = ()


def image_promise(readings: Readings) -> Promise:
    """Of the image-level threshold; empty where the run made no decisions."""
    return _promise(readings, "images")


def study_promise(readings: Readings) -> Promise:
    """Of the study-level threshold; empty where there was none."""
    return _promise(readings, "studies")


def map_threshold(readings: Readings) -> float | None:
    """The pixel quantile of calibration normals, at which maps are cut."""
    return _number(readings.run, "map_threshold")


def map_scale(readings: Readings) -> tuple[float, float] | None:
    """The common colour scale of all maps (low, high), fixed on validation normals."""
    scale = readings.run.get("map_scale")
    if not scale or len(scale) != 2 or not scale[0] < scale[1]:
        return None
    return float(scale[0]), float(scale[1])


def _promise(readings: Readings, unit: str) -> Promise:
    told: Mapping[str, Any] = readings.run.get("calibration") or {}
    level: Mapping[str, Any] | None = told.get(unit)
    if level is None:
        return Promise()
    span = level.get("false_alarm_rate_range")
    return Promise(
        threshold=_number(level, "threshold"),
        rate=_number(told, "false_alarm_rate"),
        rate_range=None if not span else (float(span[0]), float(span[1])),
        patients=_whole(level, "patients"),
        needed=_whole(level, "patients_needed"),
        patient_ids=str(told.get("patient_ids", "")),
        words=tuple(str(sentence) for sentence in told.get("words", ())),
    )


def _whole(told: Mapping[str, Any], key: str) -> int | None:
    value = _number(told, key)
    return None if value is None else int(value)


def _number(told: Mapping[str, Any], key: str) -> float | None:
    value = told.get(key)
    return None if value is None else float(value)
