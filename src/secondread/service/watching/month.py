"""A month of the service in figures, from its database and its drift. No patient and no study is named."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from secondread.drift.watch import Point
from secondread.errors import UserError
from secondread.metrics.shares import clopper_pearson
from secondread.service.reading.shadows import ShadowComparison, compare_shadows
from secondread.service.settings.service import ServiceSettings
from secondread.service.store.database import Database
from secondread.service.store.tables import Alarm, Instance, Job, Reading, Study
from secondread.service.watching.streams import read_streams
from secondread.service.watching.verdicts import Agreement, agreement

Interval = tuple[float, float]


@dataclass(frozen=True)
class Flags:
    """Of one bundle: flagged ones of the studies that it decided on, against the rate that it promises among
    normals. `rates` are those that were in force."""

    bundle: str
    studies: int
    flagged: int
    rates: tuple[float, ...]

    @property
    def share(self) -> float | None:
        return self.flagged / self.studies if self.studies else None

    @property
    def interval(self) -> Interval | None:
        return clopper_pearson(self.flagged, self.studies) if self.studies else None


@dataclass(frozen=True)
class Delay:
    """Seconds of a stage."""

    stage: str
    number: int
    median: float
    ninth: float
    longest: float


@dataclass(frozen=True)
class Drifted:
    """A stream's chart in the month."""

    bundle: str
    scanner: str
    studies: int
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Told:
    """An alarm. Times are UTC."""

    kind: str
    text: str
    remedy: str
    opened: datetime
    closed: datetime | None
    count: int


@dataclass(frozen=True)
class Month:
    """`states`: studies that came in the month, by what has become of them; `delivered`: (destination,
    outcome) -> number."""

    month: str
    begin: datetime
    end: datetime
    states: dict[str, int]
    instances: int
    flags: tuple[Flags, ...]
    agreement: Agreement
    shadows: tuple[ShadowComparison, ...]
    delays: tuple[Delay, ...]
    delivered: dict[tuple[str, str], int]
    drift: tuple[Drifted, ...]
    alarms: tuple[Told, ...]

    @property
    def studies(self) -> int:
        return sum(self.states.values())


def span_of(month: str) -> tuple[datetime, datetime]:
    """Begin and end of `2026-11`, in UTC. Raises UserError where it is no month."""
    found = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", month)
    if found is None or not 1970 <= int(found[1]) < 9999:
        raise UserError(f"{month!r} is no month; write it as 2026-11")
    year, number = int(found[1]), int(found[2])
    following = (year + 1, 1) if number == 12 else (year, number + 1)
    return datetime(year, number, 1, tzinfo=UTC), datetime(*following, 1, tzinfo=UTC)


def month_of(database: Database, settings: ServiceSettings, month: str) -> Month:
    """Raises UserError where `month` is none, and what the database raises."""
    begin, end = span_of(month)
    with database.read() as session:
        came = Study.first_received >= begin, Study.first_received < end
        states = session.execute(select(Study.state, func.count()).where(*came).group_by(Study.state))
        received = Instance.received >= begin, Instance.received < end
        readings = _readings(session, begin, end)
        return Month(
            month,
            begin,
            end,
            dict(states.all()),
            session.scalar(select(func.count()).select_from(Instance).where(*received)) or 0,
            _flags(readings),
            agreement(session, begin, end),
            tuple(compare_shadows(session, since=begin, until=end)),
            _delays(session, readings, begin, end),
            _delivered(session, begin, end),
            _drift(settings, readings),
            _alarms(session, begin, end),
        )


@dataclass(frozen=True)
class _Row:
    id: int
    study: int
    revision: int
    bundle: str
    shadow: bool
    score: float | None
    p_value: float | None
    flagged: bool | None
    rate: float | None
    at: datetime
    seconds: float
    received: datetime


def _readings(session: Session, begin: datetime, end: datetime) -> list[_Row]:
    """Of the month; of each study and bundle the newest."""
    rows = session.execute(
        select(
            Reading.id, Reading.study_id, Reading.revision, Reading.bundle, Reading.shadow, Reading.score,
            Reading.p_value, Reading.flagged, Reading.false_alarm_rate, Reading.at, Reading.seconds,
            Study.last_received,
        )
        .join(Study, Study.id == Reading.study_id)
        .where(Reading.at >= begin, Reading.at < end)
        .order_by(Reading.revision, Reading.id)
    )  # fmt: skip
    newest = {(row.study_id, row.bundle, row.shadow): _Row(*list(row)) for row in rows}
    return sorted(newest.values(), key=lambda row: row.id)


def _flags(readings: Sequence[_Row]) -> tuple[Flags, ...]:
    found = []
    for bundle in sorted({row.bundle for row in readings if not row.shadow}):
        own = [row for row in readings if row.bundle == bundle and not row.shadow and row.flagged is not None]
        rates = sorted({row.rate for row in own if row.rate is not None})
        found.append(Flags(bundle, len(own), sum(row.flagged is True for row in own), tuple(rates)))
    return tuple(found)


def _delays(session: Session, readings: Sequence[_Row], begin: datetime, end: datetime) -> tuple[Delay, ...]:
    shown = [row for row in readings if not row.shadow]
    ended = Job.ended >= begin, Job.ended < end, Job.state == "done", Job.kind.in_(("send", "tell"))
    sent = session.execute(select(Job.created, Job.ended).where(*ended))
    stages = {
        "last image received to reading there": [(row.at - row.received).total_seconds() for row in shown],
        "reading itself": [row.seconds for row in shown],
        "reading there to delivered": [
            (done - created).total_seconds() for created, done in sent if done is not None
        ],
    }
    found = []
    for stage, seconds in stages.items():
        if seconds:
            values = np.maximum(np.array(seconds), 0.0)
            median, ninth = np.quantile(values, [0.5, 0.9])
            found.append(Delay(stage, len(seconds), float(median), float(ninth), float(values.max())))
    return tuple(found)


def _delivered(session: Session, begin: datetime, end: datetime) -> dict[tuple[str, str], int]:
    ended = Job.ended >= begin, Job.ended < end, Job.kind.in_(("send", "tell"))
    rows = session.execute(select(Job.key, Job.state).where(*ended))
    return dict(sorted(Counter((key.partition(":")[2], state) for key, state in rows).items()))


def _drift(settings: ServiceSettings, readings: Sequence[_Row]) -> tuple[Drifted, ...]:
    known = {str(row.id) for row in readings}
    found = []
    for stream in read_streams(settings.spool).values():
        trace: list[Any] = stream["watch"]["trace"]
        points = tuple(point for point in (Point(*kept) for kept in trace) if point.key in known)
        if points:
            found.append(Drifted(stream["bundle"], stream["scanner"] or "unknown", len(points), points))
    return tuple(sorted(found, key=lambda one: (one.bundle, -one.studies)))


def _alarms(session: Session, begin: datetime, end: datetime) -> tuple[Told, ...]:
    """Those that were open at any time of the month."""
    was_open = Alarm.opened < end, (Alarm.closed.is_(None)) | (Alarm.closed >= begin)
    rows = session.scalars(select(Alarm).where(*was_open).order_by(Alarm.opened))
    return tuple(Told(row.kind, row.text, row.remedy, row.opened, row.closed, row.count) for row in rows)
