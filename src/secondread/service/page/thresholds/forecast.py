"""What a bundle would flag at other false-alarm rates: what it promises, and how many of the studies that it
read lately."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from secondread.calibration.calibration import Calibration
from secondread.errors import DataError, UserError
from secondread.metrics.realised_rate import realised_range
from secondread.service.reading.thresholds import at_rate, calibration_of, rate_in_force
from secondread.service.settings.bundles import BundleSettings
from secondread.service.store.tables import Reading, ThresholdChange

RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
DAYS = 30
MOST_CHANGES = 50


@dataclass(frozen=True)
class Choice:
    """threshold  None where the bundle's normals are too few for the rate
    low, high   95 % range of the rate that is realised
    flagged     of the readings of the last `DAYS` days
    """

    rate: float
    threshold: float | None
    low: float | None
    high: float | None
    flagged: int
    chosen: bool


@dataclass(frozen=True)
class Forecast:
    """A bundle as it decides now and could. `problem`: why it cannot be chosen for, in English."""

    bundle: str
    choices: Sequence[Choice]
    readings: int
    normals: int
    patients: int
    changes: Sequence[ThresholdChange]
    own_rate: float | None
    problem: str = ""


def forecast(session: Session, bundle: BundleSettings, at: datetime) -> Forecast:
    newest = select(ThresholdChange).where(ThresholdChange.bundle == bundle.name)
    changes = session.scalars(newest.order_by(ThresholdChange.id.desc()).limit(MOST_CHANGES)).all()
    try:
        calibration = calibration_of(bundle.bundle)
    except (UserError, DataError) as error:
        return Forecast(
            bundle.name, (), 0, 0, 0, changes, None, str(error).replace(str(bundle.bundle), bundle.name)
        )
    level = calibration.images if calibration.studies is None else calibration.studies
    own = calibration.settings.false_alarm_rate
    now = rate_in_force(session, bundle.name) or own
    rates = sorted({*RATES, now, own})
    thresholds = [threshold_at(calibration, rate) for rate in rates]
    recent = (
        Reading.bundle == bundle.name, Reading.shadow.is_(False), Reading.score.is_not(None),
        Reading.at >= at - timedelta(days=DAYS),
    )  # fmt: skip
    sums = [
        func.sum(case((Reading.score >= threshold, 1), else_=0))
        if threshold is not None
        else func.count() * 0
        for threshold in thresholds
    ]
    total, *flagged = session.execute(select(func.count(), *sums).where(*recent)).one()
    choices = []
    for rate, threshold, hits in zip(rates, thresholds, flagged, strict=True):
        realised = None if threshold is None else realised_range(rate, level.patients)
        low, high = realised if realised is not None else (None, None)
        choices.append(Choice(rate, threshold, low, high, int(hits or 0), math.isclose(rate, now)))
    problem = "" if calibration.decides else "no normal has calibrated this bundle"
    return Forecast(bundle.name, choices, total, level.scores.size, level.patients, changes, own, problem)


def threshold_at(calibration: Calibration, rate: float) -> float | None:
    """Of studies where the bundle has calibrated them, else of images; None where it would flag nothing."""
    if not calibration.decides:
        return None
    chosen = at_rate(calibration, rate)
    found = chosen.threshold if chosen.studies is None else chosen.study_threshold
    return found if found is not None and math.isfinite(found) else None
