"""A study's line in the worklist, from the readings of its images."""

from __future__ import annotations

import math

from sqlalchemy import select
from sqlalchemy.orm import Session

from secondread.service.store.tables import Reading, Study


def summarise(session: Session, study_id: int) -> None:
    """Fill score, p-value, flag and bundle of a study from its newest shown readings. Of several bundles,
    each of which read other images, the most suspicious counts: flagged ones first, then the lowest
    p-value, then the highest score."""
    study = session.get(Study, study_id)
    if study is None:
        return
    shown = select(Reading).where(Reading.study_id == study_id, Reading.shadow.is_(False))
    readings = session.scalars(shown).all()
    newest = max((one.revision for one in readings), default=0)
    scored = [one for one in readings if one.revision == newest and one.score is not None]
    if not scored:
        return
    worst = min(scored, key=_suspicion)
    study.bundle, study.score, study.p_value = worst.bundle, worst.score, worst.p_value
    study.flagged, study.read_at = worst.flagged, worst.at


def _suspicion(reading: Reading) -> tuple[bool, float, float]:
    p_value = math.inf if reading.p_value is None else reading.p_value
    return not reading.flagged, p_value, -(reading.score or 0.0)
