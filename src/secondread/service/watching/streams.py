"""Drift of a service's readings: a stream for each bundle and scanner, gone on with reading by reading.

What is known of a stream lies in `drift.json` of the spool: numbers and words of headers, and no patient, so
that it outlives what is removed from the database. Alarms are written before it: a keeper that is killed in
between finds them again, and they are the same rows.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, aliased

from secondread.calibration.calibration import Calibration
from secondread.drift.of_readings import calibration_of, one_for_each_patient
from secondread.drift.plan import Plan
from secondread.drift.told import remedy, sentence
from secondread.drift.watch import Change, Study, Watch
from secondread.errors import DataError, UserError
from secondread.outputs.whole import write_whole
from secondread.service.settings.service import ServiceSettings
from secondread.service.store.alarms import open_alarm
from secondread.service.store.database import Database
from secondread.service.store.jobs import now
from secondread.service.store.tables import Alarm, Reading
from secondread.service.store.tables import Study as StudyRow
from secondread.terminal.events import log_event

FILE = "drift.json"
FORMAT = 1
KIND = "drift"
FACTS = (
    "rows", "columns", "bits", "kvp", "exposure", "tube_current", "row_spacing", "slice_thickness",
    "border_mean", "border_sd", "bytes_per_pixel", "view", "photometric", "transfer_syntax", "kernel",
    "contrast",
)  # fmt: skip
"""Acquisition facts that are watched. They are fixed, since the promise is shared out among them."""
MOST_FEATURES = 12
STUDIES_PER_YEAR = 2000.0
"""Until a stream has shown how many come."""
YEAR = timedelta(days=365.25)
SETTLED = timedelta(seconds=10)
"""A reading that is younger waits: one with a lower number may still be on its way."""
BATCH = 500
_BEFORE, _EARLIER = aliased(Reading), aliased(StudyRow)


@dataclass
class Stream:
    """A bundle's readings of one scanner. `digest` is the bundle's, `level` that of its p-values; times are
    those of readings."""

    bundle: str
    digest: str
    scanner: str
    level: str
    begun: datetime
    last: datetime
    features: tuple[str, ...]
    watch: Watch

    def about(self, watcher: str) -> str:
        return f"{self.bundle} {self.digest[:8]}, scanner {self.scanner or 'unknown'}: {watcher}"


class Streams:
    """All streams of a service. `go_on` takes the readings that are new.

    The file grows with every study; so after it was written, at least `spare` times as long passes as that
    took before it is written again. A keeper that is killed before goes through the last readings once more.
    """

    def __init__(self, settings: ServiceSettings, *, spare: float = 20.0) -> None:
        self._settings = settings
        self._spare, self._pause_until, self._unwritten = spare, 0.0, False
        self._file = settings.spool / FILE
        self._calibrations: dict[str, Calibration | None] = {}
        self.streams: dict[str, Stream] = {}
        self.last = 0
        self._read()

    def go_on(self, database: Database) -> int:
        """Watch the readings that came since; how many alarms are new. Raises what the database raises."""
        self._accept(database)
        opened = 0
        while True:
            with database.read() as session:
                rows = list(session.scalars(_next_after(self.last)))
                repeated = _repeated(session, rows)
            first = [row for row in rows if row.id not in repeated]
            changes = [found for row in first for found in self._take(row)]
            if changes:
                with database.write() as session:
                    opened += sum(self._open(session, stream, change) for stream, change in changes)
            if rows:
                self.last, self._unwritten = rows[-1].id, True
            if self._unwritten and time.monotonic() >= self._pause_until:
                begun = time.monotonic()
                self._write()
                self._unwritten = False
                self._pause_until = time.monotonic() + self._spare * (time.monotonic() - begun)
            if len(rows) < BATCH:
                return opened

    def _take(self, row: Reading) -> Iterator[tuple[Stream, Change]]:
        facts = row.facts or {}
        if row.score is None or not math.isfinite(row.score):
            return
        if self._settings.watch.reference == "calibration" and _is_maximum_without_calibration(facts):
            return
        key = f"{row.bundle_digest}:{row.scanner}"
        stream = self.streams.get(key)
        if stream is None:
            names = tuple(str(name) for name in facts.get("feature_names", ()))
            shown = [name for name in names if name.startswith("image_")] or list(names)
            features = tuple(shown[:MOST_FEATURES])
            level = str(facts.get("level", "image"))
            plan = self._plan(row.bundle, row.bundle_digest, level, features)
            named = row.bundle, row.bundle_digest, row.scanner, level
            stream = Stream(*named, row.at, row.at, features, Watch(plan))
            self.streams[key] = stream
        passed = max(row.at - stream.last, timedelta())
        share = passed / YEAR if stream.watch.studies else 1 / stream.watch.plan.studies_per_year
        for change in stream.watch.take(_study(row, stream, share)):
            yield stream, change
        stream.last = max(row.at, stream.last)
        _expect(stream)

    def _plan(self, bundle: str, digest: str, level: str, features: tuple[str, ...]) -> Plan:
        watching = self._settings.watch
        calibration = self._calibration(bundle, digest)
        known = None
        if calibration is not None:
            known = calibration.studies if level == "study" else calibration.images
        return Plan(
            watching.false_alarms_per_year,
            STUDIES_PER_YEAR,
            tuple(one_for_each_patient(known, 0)) if watching.reference == "calibration" and known else (),
            calibration.settings.false_alarm_rate if calibration is not None else 0.05,
            known.patients if known is not None else 0,
            watching.prevalence if known is not None and known.patients else None,
            FACTS,
            features,
        )

    def _calibration(self, bundle: str, digest: str) -> Calibration | None:
        """Of the bundle that the configuration has now, where it is the one that read."""
        if digest not in self._calibrations:
            self._calibrations[digest] = None
            for one in self._settings.bundles:
                if one.name == bundle:
                    try:
                        found, calibration = calibration_of(one.bundle)
                    except (UserError, DataError) as error:
                        log_event("bundle unreadable", level=logging.ERROR, error=type(error).__name__)
                        continue
                    self._calibrations[found] = calibration
        return self._calibrations[digest]

    def _open(self, session: Session, stream: Stream, change: Change) -> bool:
        named = (one.bundle.name for one in self._settings.bundles if one.name == stream.bundle)
        place = next(named, "BUNDLE")
        new = open_alarm(
            session,
            KIND,
            stream.about(change.watcher),
            f"{stream.bundle}, scanner {stream.scanner or 'unknown'}, {change.watcher}: {sentence(change)}",
            remedy(change, place),
        )
        if new:
            part = change.watcher.partition(" ")[0]
            log_event("drift", level=logging.WARNING, watcher=part, change=change.kind, study=change.study)
        return new

    def _accept(self, database: Database) -> None:
        """Alarms that a person closed: what they told of is the new state. Those of bundles that read no more
        are closed."""
        with database.read() as session:
            told = select(Alarm).where(Alarm.kind == KIND).order_by(Alarm.id)
            newest = {alarm.about: alarm for alarm in session.scalars(told)}
        for stream in self.streams.values():
            for watcher in stream.watch.plan.shares:
                alarm = newest.get(stream.about(watcher))
                if alarm is not None and alarm.closed is not None and alarm.id not in self._accepted:
                    self._accepted.append(alarm.id)
                    stream.watch.accept(watcher)
                    self._unwritten = True
        self._close_former(database, newest)

    def _close_former(self, database: Database, newest: Mapping[str, Alarm]) -> None:
        reading: dict[str, Stream] = {}
        for stream in self.streams.values():
            known = reading.get(stream.bundle)
            if known is None or stream.last > known.last:
                reading[stream.bundle] = stream
        former = tuple(
            f"{one.bundle} {one.digest[:8]},"
            for one in self.streams.values()
            if one.digest != reading[one.bundle].digest
        )
        over = [
            alarm.id for about, alarm in newest.items() if alarm.closed is None and about.startswith(former)
        ]
        if over:
            with database.write() as session:
                for row in session.scalars(select(Alarm).where(Alarm.id.in_(over), Alarm.closed.is_(None))):
                    row.closed = now()
                    self._accepted.append(row.id)

    def _read(self) -> None:
        """Where the file is missing or damaged, streams begin anew from the database."""
        self._accepted: list[int] = []
        if not self._file.is_file():
            return
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            if kept["format"] != FORMAT:
                raise ValueError("another format")
            streams = {key: self._from_state(said) for key, said in kept["streams"].items()}
            last, accepted = int(kept["last"]), [int(number) for number in kept["accepted"]]
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            log_event("drift begins anew", level=logging.WARNING, error=type(error).__name__)
            return
        self.streams, self.last, self._accepted = streams, last, accepted

    def _from_state(self, said: Mapping[str, Any]) -> Stream:
        features = tuple(said["features"])
        plan = self._plan(said["bundle"], said["digest"], said["level"], features)
        watch = Watch.from_state(plan, said["watch"])
        watch.expect(float(said["studies_per_year"]))
        begun, last = (datetime.fromisoformat(said[name]) for name in ("begun", "last"))
        named = said["bundle"], said["digest"], said["scanner"], said["level"]
        return Stream(*named, begun, last, features, watch)

    def _write(self) -> None:
        streams = {
            key: {
                "bundle": one.bundle,
                "digest": one.digest,
                "scanner": one.scanner,
                "level": one.level,
                "begun": one.begun.isoformat(),
                "last": one.last.isoformat(),
                "features": one.features,
                "studies_per_year": one.watch.plan.studies_per_year,
                "watch": one.watch.state(),
            }
            for key, one in self.streams.items()
        }
        kept = {"format": FORMAT, "last": self.last, "accepted": self._accepted, "streams": streams}
        write_whole(self._file, json.dumps(kept, allow_nan=False).encode())


def read_streams(folder: Path) -> dict[str, Any]:
    """What `drift.json` of a spool says of each stream, for metrics and reports; nothing where it is not
    there."""
    try:
        kept = json.loads((folder / FILE).read_text(encoding="utf-8"))
        found = kept["streams"] if kept["format"] == FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return dict(found)


def _next_after(last: int) -> Select[Reading]:
    settled = now() - SETTLED
    shown = select(Reading).where(Reading.id > last, Reading.shadow.is_(False), Reading.at <= settled)
    return shown.order_by(Reading.id).limit(BATCH)


def _repeated(session: Session, rows: Sequence[Reading]) -> set[int]:
    """Which readings are of a study or a patient that their bundle has read before: a patient's studies
    resemble one another, and another revision is the same study."""
    before = (
        _BEFORE.id < Reading.id, _BEFORE.shadow.is_(False), _BEFORE.bundle_digest == Reading.bundle_digest
    )  # fmt: skip
    same_study = select(_BEFORE.id).where(_BEFORE.study_id == Reading.study_id, *before).exists()
    same_patient = (
        select(_BEFORE.id)
        .join(_EARLIER, _EARLIER.id == _BEFORE.study_id)
        .where(StudyRow.patient_id != "", _EARLIER.patient_id == StudyRow.patient_id, *before)
        .exists()
    )
    found = (
        select(Reading.id)
        .join(StudyRow, StudyRow.id == Reading.study_id)
        .where(Reading.id.in_([row.id for row in rows]), same_study | same_patient)
    )
    return set(session.scalars(found))


def _is_maximum_without_calibration(facts: Mapping[str, Any]) -> bool:
    """A study's highest image would be compared with single images."""
    return facts.get("level") == "image" and int(facts.get("image_count") or 1) > 1


def _study(row: Reading, stream: Stream, share: float) -> Study:
    facts = row.facts or {}
    values = dict(zip(facts.get("feature_names", ()), facts.get("features", ()), strict=False))
    return Study(
        str(row.id),
        float(row.score) if row.score is not None else math.nan,
        row.p_value,
        {name: value for name, value in (facts.get("acquisition") or {}).items() if _plain(value)},
        {name: float(values[name]) for name in stream.features if isinstance(values.get(name), int | float)},
        share,
    )


def _plain(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value))


def _expect(stream: Stream) -> None:
    """How many studies a year, once a hundred have come; the limit follows where that is half as much again
    or less by a third."""
    watch, years = stream.watch, (stream.last - stream.begun) / YEAR
    if watch.studies < 100 or years <= 0:
        return
    rate = watch.studies / years
    known = watch.plan.studies_per_year
    if not known / 1.5 < rate < known * 1.5:
        watch.expect(rate)
