"""Thresholds that people choose while the service runs: the newest choice counts from then on.

A p-value is at most a rate where the score reaches that rate's threshold (`calibration.conformal`), so
another rate needs no image: what is read later is judged by it, and what was read before can be.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from secondread.bundles.archive import folder_of
from secondread.bundles.fitted_model import FittedModel
from secondread.bundles.operating_point import OperatingPoint
from secondread.calibration.calibration import Calibration
from secondread.calibration.description import describe
from secondread.errors import UserError
from secondread.exporting.export_document import is_exported
from secondread.exporting.exported import Exported
from secondread.metrics.realised_rate import patients_needed
from secondread.service.reading.summary import summarise
from secondread.service.settings.bundles import BundleSettings
from secondread.service.store.jobs import now
from secondread.service.store.tables import Reading, ThresholdChange
from secondread.wording.numbers import count
from secondread.wording.numbers import rate as as_rate


def rate_in_force(session: Session, bundle: str) -> float | None:
    """The false-alarm rate that somebody chose last for a bundle's name; None = the bundle's own."""
    newest = select(ThresholdChange.false_alarm_rate).where(ThresholdChange.bundle == bundle)
    return session.scalars(newest.order_by(ThresholdChange.id.desc()).limit(1)).first()


def at_rate(calibration: Calibration, rate: float | None) -> Calibration:
    """The calibration at a rate that was chosen; as it is where none was."""
    if rate is None or rate == calibration.settings.false_alarm_rate:
        return calibration
    return calibration.at(rate)


def judged_at(model: FittedModel, rate: float | None) -> FittedModel:
    """The model with the threshold in force."""
    calibration = at_rate(model.calibration, rate)
    return model if calibration is model.calibration else replace(model, calibration=calibration)


def threshold_in_force(session: Session, bundle: BundleSettings) -> dict[str, Any]:
    """What the bundle promises at the rate in force, as `calibration.description.describe` says it. Raises
    UserError and DataError as reading the bundle does."""
    return describe(at_rate(calibration_of(bundle.bundle), rate_in_force(session, bundle.name)))


def change_threshold(
    session: Session, bundle: BundleSettings, rate: float, person: str, comment: str = ""
) -> dict[str, Any]:
    """From now on the bundle flags at this false-alarm rate; what it promises then.

    Raises UserError for a rate that is none, for a bundle that no normal has calibrated, and where its
    normals are too few for the rate: nothing would be flagged.
    """
    if not (isinstance(rate, int | float) and math.isfinite(rate) and 0 < rate < 1):
        raise UserError(f"a false-alarm rate of {rate} is not between 0 and 1")
    calibration = calibration_of(bundle.bundle)
    if not calibration.decides:
        raise UserError(
            f"{bundle.name}: no normal has calibrated it, so it holds no scores to choose a threshold from; "
            "`secondread calibrate` with normals comes first"
        )
    chosen = calibration.at(rate)
    level = chosen.images if chosen.studies is None else chosen.studies
    if not math.isfinite(level.threshold(rate)):
        raise UserError(
            f"{bundle.name}: a false-alarm rate of {as_rate(rate)} needs calibration normals of "
            f"{count(patients_needed(rate), 'patient')}, and it has {level.patients:,}: nothing would be "
            f"flagged; the lowest rate that they carry is {as_rate(1 / (level.patients + 1))}"
        )
    session.add(
        ThresholdChange(
            bundle=bundle.name, false_alarm_rate=float(rate), person=person, comment=comment, at=now()
        )
    )
    session.flush()
    return describe(chosen)


def rejudge(session: Session, bundle: BundleSettings) -> int:
    """Judge the readings of the bundle as it is now by the threshold in force; how many flags changed.

    Scores and p-values stay, and so do results that were sent: they say what was said then.
    """
    digest, fitted = _known(bundle.bundle, _mark(bundle.bundle))
    calibration = at_rate(fitted, rate_in_force(session, bundle.name))
    mine = select(Reading).where(Reading.bundle_digest == digest, Reading.bundle == bundle.name)
    changed = 0
    for reading in session.scalars(mine).all():
        before = reading.flagged
        of_study = reading.facts.get("level") == "study"
        reading.threshold = finite(calibration.study_threshold if of_study else calibration.threshold)
        reading.false_alarm_rate = calibration.settings.false_alarm_rate
        reading.flagged = _flag(reading.score, reading.threshold)
        images = finite(calibration.threshold)
        reading.images = [{**image, "flagged": _flag(image.get("score"), images)} for image in reading.images]
        if reading.flagged is not before:
            changed += 1
            session.flush()
            summarise(session, reading.study_id)
    return changed


def _flag(score: float | None, threshold: float | None) -> bool | None:
    return None if score is None or threshold is None else score >= threshold


def finite(value: float | None) -> float | None:
    """JSON and columns hold no infinity: None, where nothing can be flagged."""
    return value if value is not None and math.isfinite(value) else None


def calibration_of(path: Path) -> Calibration:
    """Of a bundle or an exported one; kept while its file is the same. No torch."""
    return _known(path, _mark(path))[1]


def _mark(path: Path) -> tuple[int, int]:
    """Tells a bundle from the one that was at its place before."""
    file = next((path / name for name in ("bundle.json", "export.json") if (path / name).is_file()), path)
    try:
        status = file.stat()
    except OSError as error:
        raise UserError(f"{path}: no bundle can be read here ({error.strerror})") from None
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=32)
def _known(path: Path, mark: tuple[int, int]) -> tuple[str, Calibration]:
    if is_exported(path):
        exported = Exported.load(path)
        return exported.digest, exported.calibration
    with folder_of(path) as folder:
        point = OperatingPoint.read(folder)
        return point.digest, point.calibration
