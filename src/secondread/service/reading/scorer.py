"""The process that reads studies: bundles are loaded once, jobs are taken, readings and results written."""

from __future__ import annotations

import errno
import hashlib
import logging
import shutil
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from secondread.errors import DataError, UserError
from secondread.outputs.whole import NO_ROOM
from secondread.service.intake.arrivals import OTHER_PATIENT
from secondread.service.reading.at_work import AtWork, at_work
from secondread.service.reading.read_study import CannotRead, NotRead, StudyRead, read_study
from secondread.service.reading.routing import Routes, route
from secondread.service.reading.thresholds import rate_in_force
from secondread.service.reading.written import Newer, study_at, write_readings
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store import jobs
from secondread.service.store.away import Stop, Stopped, is_away, patiently
from secondread.service.store.database import Database
from secondread.service.store.jobs import Claim, LostClaim
from secondread.service.store.tables import Instance, Study
from secondread.service.store.workers import Registered
from secondread.terminal.events import log_event, place_in_code

IDLE_S = 0.5
"""Between two looks into an empty queue."""
FULL_S = 30.0
"""Before the next study, where the disk is full."""
KIND = "score"
SEVERAL_PATIENTS = "its images name several patients: find out whose they are before you believe the reading"
Step = TypeVar("Step")
Outcome = Literal["read", "not read", "another's", "failed", "given back"]


def run_scorer(settings: ServiceSettings, stop: Stop) -> None:
    """Read studies until `stop` is set. Raises UserError and DataError where a bundle cannot be loaded."""
    database = Database(settings.database_url)
    try:
        with at_work(settings) as bundles, Registered(database, "scorer", stop) as me:
            log_event("scorer ready", bundles=len(bundles))
            scorer = Scorer(settings, database, Spool(settings.spool), bundles, me.id, stop)
            while not stop.is_set():
                if scorer.next() is None:
                    stop.wait(IDLE_S)
    except Stopped:
        pass
    finally:
        database.close()


@dataclass
class Scorer:
    """What reads one study after the other.

    delay  before a study that failed is tried again; doubled with each try
    """

    settings: ServiceSettings
    database: Database
    spool: Spool
    bundles: tuple[AtWork, ...]
    worker: str
    stop: Stop
    delay: timedelta = timedelta(seconds=10)
    _open: ExitStack = field(default_factory=ExitStack)

    def next(self) -> Outcome | None:
        """Take a job and do it; None where there is none. Raises Stopped, with the job given back."""
        claimed = self._patiently(lambda: jobs.claim(self.database, [KIND], self.worker))
        if claimed is None:
            return None
        folders: list[Path] = []
        try:
            with ExitStack() as self._open:
                outcome = self._do(claimed, folders)
                if outcome == "read":
                    folders.clear()
        except Stopped:
            self._give_back(claimed)
            raise
        except LostClaim:
            outcome = "another's"
        finally:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
        log_event("study done", outcome=outcome, tries=claimed.tries)
        return outcome

    def _do(self, claimed: Claim, folders: list[Path]) -> Outcome:
        revision = int(claimed.key.rpartition(":")[2])
        if claimed.tries > self.settings.tries:
            return self._set_aside(claimed, f"its scorer ended {self.settings.tries} times while reading it")
        try:
            uid, instances, rates = self._patiently(lambda: self._begin(claimed, revision))
            readings, reason = self._read(claimed, uid, instances, rates, folders)
            self._patiently(lambda: self._write(claimed, revision, readings, reason))
        except Newer:
            self._in_transaction(lambda session: jobs.finish(session, claimed))
            return "another's"
        except (Stopped, LostClaim):
            raise
        except Exception as error:
            if is_away(error):
                raise
            if _disk_is_full(error):
                log_event("disk full", level=logging.ERROR)
                self._give_back(claimed)
                self.stop.wait(FULL_S)
                return "given back"
            return self._failed(claimed, _in_a_line(error))
        return "read" if any(not read.at.shadow for read in readings) else "not read"

    def _begin(self, claimed: Claim, revision: int) -> tuple[str, list[Instance], dict[str, float | None]]:
        """The study's UID, its instances, and the rates in force; from now on it is being read."""
        with self.database.write() as session:
            study = study_at(session, claimed.study_id or 0, revision)
            study.state = "reading"
            instances = list(session.scalars(select(Instance).where(Instance.study_id == study.id)))
            names = {bundle.settings.name for bundle in self.bundles}
            return study.study_uid, instances, {name: rate_in_force(session, name) for name in names}

    def _read(
        self,
        claimed: Claim,
        uid: str,
        instances: list[Instance],
        rates: dict[str, float | None],
        folders: list[Path],
    ) -> tuple[list[StudyRead], str]:
        """What each bundle says of the images that are its own, and why some were not read. A shadow that
        fails is told to the log alone."""
        routes = route(self.settings.bundles, instances)
        readings: list[StudyRead] = []
        reasons: list[str] = [routes.reason] if routes.reason else []
        failures: list[str] = []
        if any(one.facts.get(OTHER_PATIENT) for one in instances):
            reasons.append(SEVERAL_PATIENTS)
        for at in self.bundles:
            if at.settings.name not in routes.taken:
                continue
            folder = self._open.enter_context(self.spool.new_reading(uid))
            folders.append(folder)
            try:
                read = self._read_one(at, uid, routes, folder, rates[at.settings.name])
            except (NotRead, CannotRead, DataError, UserError) as error:
                if _disk_is_full(error):
                    raise
                if at.shadow:
                    log_event("shadow failed", level=logging.WARNING, error=type(error).__name__)
                elif isinstance(error, NotRead):
                    reasons.append(str(error))
                else:
                    failures.append(str(error))
                continue
            readings.append(read)
            if read.left_out and not at.shadow:
                reasons.append(f"{at.name}: {read.left_out}")
        shown = any(not read.at.shadow for read in readings)
        if failures and (not shown or claimed.tries < self.settings.tries):
            raise CannotRead("; ".join(failures))
        return readings, "; ".join([*reasons, *failures])

    def _read_one(self, at: AtWork, uid: str, routes: Routes, folder: Path, rate: float | None) -> StudyRead:
        study = hashlib.sha256(uid.encode()).hexdigest()[:20]
        read = read_study(
            at, study, routes.taken[at.settings.name], self.spool, folder, rate=rate, pause=self._pause
        )
        self.spool.sync_reading(folder)
        return read

    def _pause(self) -> None:
        if self.stop.is_set():
            raise Stopped

    def _write(self, claimed: Claim, revision: int, readings: list[StudyRead], reason: str) -> None:
        with self.database.write() as session:
            write_readings(session, claimed, revision, readings, reason, self.spool, self.settings.send)

    def _failed(self, claimed: Claim, reason: str) -> Outcome:
        log_event("study failed", level=logging.WARNING, tries=claimed.tries)
        if claimed.tries >= self.settings.tries:
            return self._set_aside(claimed, reason)

        def again(session: Session) -> None:
            jobs.try_again(session, claimed, reason, self.delay * 2 ** (claimed.tries - 1))
            _mark(session, claimed, "waiting", "")

        self._in_transaction(again)
        return "failed"

    def _set_aside(self, claimed: Claim, reason: str) -> Outcome:
        def aside(session: Session) -> None:
            jobs.set_aside(session, claimed, reason)
            _mark(session, claimed, "set aside", reason)

        self._in_transaction(aside)
        log_event("study set aside", level=logging.ERROR, tries=claimed.tries)
        return "failed"

    def _give_back(self, claimed: Claim) -> None:
        """Untouched, for another scorer or the next start; where the database is away, its row tells."""

        def back(session: Session) -> None:
            jobs.give_back(session, claimed)
            _mark(session, claimed, "waiting", "")

        try:
            with self.database.write() as session:
                back(session)
        except LostClaim:
            pass
        except Exception as error:
            if not is_away(error):
                raise

    def _in_transaction(self, step: Callable[[Session], None]) -> None:
        def whole() -> None:
            with self.database.write() as session:
                step(session)

        self._patiently(whole)

    def _patiently(self, step: Callable[[], Step]) -> Step:
        return patiently(step, self.stop)


def _mark(session: Session, claimed: Claim, state: str, reason: str) -> None:
    """Say how the study stands, unless it has got further images meanwhile."""
    revision = int(claimed.key.rpartition(":")[2])
    study = session.get(Study, claimed.study_id)
    if study is not None and study.revision == revision and study.state != "erased":
        study.state, study.reason = state, reason


def _disk_is_full(error: BaseException) -> bool:
    causes = (error, error.__cause__, error.__context__)
    return any(isinstance(one, OSError) and one.errno in {*NO_ROOM, errno.EDQUOT} for one in causes)


def _in_a_line(error: Exception) -> str:
    """Why a study could not be read, without what stands in its header: texts of errors that are not our own
    stay unsaid."""
    if isinstance(error, CannotRead | NotRead | UserError | DataError):
        return " ".join(str(error).split())[:500]
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"reading it ended with {type(error).__name__} ({place_in_code(frame.filename, frame.lineno)})"
