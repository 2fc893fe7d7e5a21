"""What a study's page shows: the study, its readings, and the images, the worst first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from secondread.service.page.worklist.find import Said
from secondread.service.store.tables import Instance, Reading, Study, Verdict

MOST_IMAGES = 200
"""On one page. A CT series is one image here, and so is a clip that was read whole."""


@dataclass(frozen=True)
class ShownImage:
    """One image, as its address names it.

    key      `READING-NUMBER` of an image that a bundle read, `i` and the instance's id of one that none did
    said     what its reading says of it (`Reading.images`); empty where there is none
    """

    key: str
    said: dict[str, Any] = field(default_factory=dict)
    bundle: str = ""
    modality: str = ""

    @property
    def score(self) -> float | None:
        return self.said.get("score")

    @property
    def has_map(self) -> bool:
        return bool(self.said.get("map"))


@dataclass(frozen=True)
class Shown:
    """readings   of the newest revision that was read, of bundles that are shown
    shadows    readings of the same revision by bundles that are tried
    earlier    shown readings of earlier revisions, the newest first
    newer      the study has images that none of the readings knows
    """

    study: Study
    images: Sequence[ShownImage]
    more: int
    readings: Sequence[Reading]
    shadows: Sequence[Reading]
    earlier: Sequence[Reading]
    verdicts: Sequence[Said]
    newer: bool


def show(session: Session, study_id: int) -> Shown | None:
    """None where there is no such study, or it was erased."""
    study = session.get(Study, study_id)
    if study is None or study.state == "erased":
        return None
    rows = session.scalars(
        select(Reading).where(Reading.study_id == study_id).order_by(Reading.id.desc())
    ).all()
    shown = [row for row in rows if not row.shadow]
    newest = max((row.revision for row in shown), default=-1)
    readings = [row for row in shown if row.revision == newest]
    images = images_of(readings) or unread_images(session, study_id)
    said = session.scalars(
        select(Verdict).where(Verdict.study_id == study_id).order_by(Verdict.id.desc())
    ).all()
    return Shown(
        study=study,
        images=images[:MOST_IMAGES],
        more=max(0, len(images) - MOST_IMAGES),
        readings=readings,
        shadows=[row for row in rows if row.shadow and row.revision == newest],
        earlier=[row for row in shown if row.revision != newest],
        verdicts=[Said(one.person, one.agrees, one.abnormal, one.comment, one.at) for one in said],
        newer=bool(shown) and newest < study.revision,
    )


def images_of(readings: Sequence[Reading]) -> list[ShownImage]:
    """Of all readings, by suspicion: the lowest p-value first, then the highest score; those without last."""
    found = [
        ShownImage(f"{reading.id}-{number}", said, reading.bundle)
        for reading in readings
        for number, said in enumerate(reading.images)
    ]

    def suspicion(image: ShownImage) -> tuple[float, float]:
        p_value = image.said.get("p_value")
        score = image.score
        return (2.0 if p_value is None else p_value, math.inf if score is None else -score)

    return sorted(found, key=suspicion)


def unread_images(session: Session, study_id: int) -> list[ShownImage]:
    """Of a study that nobody read: its instances as they are, at most so many of each series."""
    first = select(func.min(Instance.id)).where(Instance.study_id == study_id).group_by(Instance.series_uid)
    counts = dict(
        session.execute(
            select(Instance.series_uid, func.count())
            .where(Instance.study_id == study_id)
            .group_by(Instance.series_uid)
        ).all()
    )
    rows = session.scalars(select(Instance).where(Instance.id.in_(first)).order_by(Instance.id)).all()
    return [
        ShownImage(
            f"i{row.id}", {"instances": counts[row.series_uid]}, "", str(row.facts.get("modality", ""))
        )
        for row in rows
    ]
