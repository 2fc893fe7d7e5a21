"""Counts of everything that was read and sent, kept by whoever shows metrics: each look adds what is new.

They are of the database, and so of all processes; a process that starts counts all again from what is there,
as Prometheus expects of a counter.
"""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock

from sqlalchemy import select
from sqlalchemy.orm import Session

from secondread.service.store.jobs import now
from secondread.service.store.tables import Job, Reading, Study

SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
P_VALUES = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SETTLED = timedelta(seconds=5)
BATCH = 20_000
Name = tuple[str, ...]


@dataclass
class Histogram:
    """How many values are at or below each edge; `buckets` are for the exposition, cumulated."""

    edges: Sequence[float]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def add(self, value: float) -> None:
        self.counts = self.counts or [0] * (len(self.edges) + 1)
        self.counts[bisect.bisect_left(self.edges, value)] += 1
        self.total += value

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """Edge as text and how many are at or below it.

        >>> histogram = Histogram((1.0, 2.0))
        >>> histogram.add(1.0); histogram.add(5.0)
        >>> histogram.buckets
        [('1.0', 1), ('2.0', 1), ('+Inf', 2)]
        """
        counts = itertools.accumulate(self.counts or [0] * (len(self.edges) + 1))
        return list(zip([*map(str, self.edges), "+Inf"], counts, strict=True))


class Tallies:
    """`look` adds readings and jobs that ended since the last look."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.readings: Counter[Name] = Counter()
        self.flagged: Counter[Name] = Counter()
        self.delivered: Counter[Name] = Counter()
        self.stages: dict[Name, Histogram] = {}
        self.p_values: dict[Name, Histogram] = {}
        self._reading = 0
        self._ended = datetime(1970, 1, 1, tzinfo=UTC)

    def look(self, session: Session) -> None:
        with self.lock:
            settled = now() - SETTLED
            while self._readings(session, settled):
                pass
            self._jobs(session, settled)

    def _readings(self, session: Session, settled: datetime) -> bool:
        columns = (
            Reading.id, Reading.bundle, Reading.shadow, Reading.flagged, Reading.p_value, Reading.seconds,
            Reading.at, Study.last_received, Study.first_received,
        )  # fmt: skip
        rows = session.execute(
            select(*columns)
            .join(Study, Study.id == Reading.study_id)
            .where(Reading.id > self._reading, Reading.at <= settled)
            .order_by(Reading.id)
            .limit(BATCH)
        ).all()
        for row in rows:
            name = row.bundle, "shadow" if row.shadow else "shown"
            self.readings[name] += 1
            self.flagged[name] += row.flagged is True
            if row.p_value is not None:
                self.p_values.setdefault(name, Histogram(P_VALUES)).add(row.p_value)
            self._stage("read", row.seconds)
            if not row.shadow:
                self._stage("receive", (row.last_received - row.first_received).total_seconds())
                self._stage("received to read", (row.at - row.last_received).total_seconds())
            self._reading = row.id
        return len(rows) == BATCH

    def _jobs(self, session: Session, settled: datetime) -> None:
        rows = session.execute(
            select(Job.kind, Job.key, Job.state, Job.created, Job.ended)
            .where(Job.ended > self._ended, Job.ended <= settled, Job.kind.in_(("send", "tell")))
            .order_by(Job.ended)
        )
        for row in rows:
            destination = row.key.partition(":")[2]
            self.delivered[row.kind, destination, row.state] += 1
            if row.state == "done":
                self._stage("deliver", (row.ended - row.created).total_seconds())
        self._ended = settled

    def _stage(self, name: str, seconds: float) -> None:
        self.stages.setdefault((name,), Histogram(SECONDS)).add(max(seconds, 0.0))
