"""One destination's own thread: what waits for it, in order, and nothing of the others'.

While the destination is away one job is the probe, and it goes back untouched; when it goes through, all
others follow in their order. A job that fails by itself waits on its own, and the next one is taken.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from secondread.service.delivery.carrier import Carrier
from secondread.service.delivery.circuit import Circuit, pause
from secondread.service.delivery.outcome import Away, Later, Refused
from secondread.service.delivery.parcel import parcel_of
from secondread.service.settings.sending import SendingSettings
from secondread.service.spool.files import Spool
from secondread.service.store.alarms import close_alarm, open_alarm
from secondread.service.store.away import Stop, Stopped, patiently
from secondread.service.store.database import Database
from secondread.service.store.jobs import (
    Claim,
    LostClaim,
    claim,
    finish,
    give_back,
    now,
    set_aside,
    try_again,
)
from secondread.service.store.orders import SEND, TELL
from secondread.service.store.tables import Job
from secondread.terminal.events import log_event, place_in_code
from secondread.wording.numbers import count

POLL_S = 0.2
AWAY, NOT_TAKEN = "destination away", "not delivered"
"""Kinds of alarms; `about` is the destination's name."""
KINDS = (SEND, TELL)
DONE = "done"
"""In a job's payload: what of it has arrived."""


def for_destination(name: str) -> ColumnElement[bool]:
    """Jobs for a destination: their key is `READING:DESTINATION`."""
    return Job.key.endswith(f":{name}", autoescape=True)


@dataclass
class Lane:
    """Deliver what waits for `name` until `stop` is set.

    tries  of a job over which this program itself fails
    """

    name: str
    carrier: Carrier
    database: Database
    spool: Spool
    sending: SendingSettings
    tries: int
    worker: str
    stop: Stop
    circuit: Circuit = field(init=False)
    _alarmed: bool = True
    """Whether an alarm may be open; at the start one of an earlier process."""
    _untaken: bool = True

    def __post_init__(self) -> None:
        self.circuit = Circuit(self.sending)

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                if self.circuit.wait_s > 0:
                    self.stop.wait(min(self.circuit.wait_s, POLL_S))
                elif not self.step():
                    self.carrier.rest()
                    self.stop.wait(POLL_S)
        except Stopped:
            pass
        finally:
            self.carrier.rest()

    def step(self) -> bool:
        """One job; False where none waits."""
        claimed = patiently(self._claim, self.stop)
        if claimed is None:
            return False
        done = set(claimed.payload.get(DONE, ()))
        try:
            parcel = patiently(lambda: parcel_of(self.database, self.spool, claimed), self.stop)
            self.carrier.deliver(parcel, done)
        except Stopped:
            raise
        except Away as error:
            self._away(claimed, error)
        except Later as error:
            self._later(claimed, error.reason, done)
        except Refused as error:
            self._refused(claimed, error.reason)
        except Exception as error:  # a fault of this program: told by its place, for texts may name a patient
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} at {place_in_code(frame.filename, frame.lineno)}"
            log_event("delivery crashed", level=logging.ERROR, to=self.name, at=place)
            self.carrier.rest()
            if claimed.tries >= self.tries:
                self._refused(claimed, f"secondread failed ({place})")
            else:
                self._later(claimed, f"secondread failed ({place})", done)
        else:
            self._done(claimed)
        return True

    def _claim(self) -> Claim | None:
        mine = for_destination(self.name)
        with self.database.read() as session:  # takes nobody's turn to write
            waits = select(Job.id).where(Job.state == "waiting", Job.kind.in_(KINDS), mine).limit(1)
            if session.scalar(waits) is None:
                return None
        return claim(self.database, KINDS, self.worker, mine)

    def _done(self, claimed: Claim) -> None:
        self.circuit.succeeded()
        closing, self._alarmed = self._alarmed, False

        def end(session: Session) -> None:
            finish(session, claimed)
            if closing and close_alarm(session, AWAY, self.name):
                log_event("destination back", to=self.name)
            if self._untaken:
                self._close_untaken(session)

        self._end(end)
        log_event("delivered", to=self.name, kind=claimed.kind, tries=claimed.tries)

    def _away(self, claimed: Claim, error: Away) -> None:
        self.carrier.rest()
        self.circuit.failed(error.wait_s)
        log_event("destination does not answer", to=self.name, failures=self.circuit.failures)

        def end(session: Session) -> None:
            give_back(session, claimed)
            self._note(session, claimed, error.reason)
            self._give_up(session, error.reason)
            self._alarm(session, error.reason)

        self._end(end)

    def _later(self, claimed: Claim, reason: str, done: set[str]) -> None:
        self.carrier.rest()
        self.circuit.failed()
        log_event("delivery failed for now", to=self.name, tries=claimed.tries)

        def end(session: Session) -> None:
            if self._is_too_old(session, claimed):
                set_aside(session, claimed, f"given up: {reason}")
                self._tell_untaken(session, reason)
                return
            delay = timedelta(seconds=pause(self.sending, claimed.tries))
            try_again(session, claimed, reason, delay)
            kept = {**claimed.payload, DONE: sorted(done)}
            session.execute(update(Job).where(Job.id == claimed.id).values(payload=kept))
            self._alarm(session, reason)

        self._end(end)

    def _refused(self, claimed: Claim, reason: str) -> None:
        self.circuit.succeeded()
        log_event("delivery set aside", level=logging.WARNING, to=self.name, kind=claimed.kind)

        def end(session: Session) -> None:
            set_aside(session, claimed, reason)
            self._tell_untaken(session, reason)
            close_alarm(session, AWAY, self.name)

        self._end(end)

    def _end(self, end: Callable[[Session], None]) -> None:
        """The transaction that ends a job, for as long as the database needs."""

        def step() -> None:
            with self.database.write() as session:
                end(session)

        try:
            patiently(step, self.stop)
        except LostClaim:
            log_event("claim lost", level=logging.WARNING, to=self.name)

    def _note(self, session: Session, claimed: Claim, reason: str) -> None:
        """Why the job is still there, for whoever looks."""
        session.execute(update(Job).where(Job.id == claimed.id).values(reason=reason))

    def _is_too_old(self, session: Session, claimed: Claim) -> bool:
        created = session.scalar(select(Job.created).where(Job.id == claimed.id))
        return created is not None and now() - created > timedelta(days=self.sending.give_up_days)

    def _give_up(self, session: Session, reason: str) -> None:
        """Set aside everything that has waited for too long."""
        oldest = now() - timedelta(days=self.sending.give_up_days)
        old = update(Job).where(
            Job.state == "waiting", Job.kind.in_(KINDS), for_destination(self.name), Job.created < oldest
        )
        said = {"state": "set aside", "reason": f"given up: {reason}", "ended": now()}
        if session.execute(old.values(said).returning(Job.id)).all():
            self._tell_untaken(session, reason)

    def _alarm(self, session: Session, reason: str) -> None:
        if self.circuit.away_s < 60 * self.sending.alarm_min:
            return
        self._alarmed = True
        waiting = self._number(session, "waiting")
        minutes = max(1, round(self.circuit.away_s / 60))
        opened = open_alarm(
            session, AWAY, self.name,
            f"{self.name} has taken nothing for {count(minutes, 'minute')}: {reason}. "
            f"{count(waiting, 'delivery waits', 'deliveries wait')}.",
            "Look at the destination, its network and its certificates. Everything that waits is sent when "
            f"it is back; it is set aside after {self.sending.give_up_days:g} days.",
        )  # fmt: skip
        if opened:
            log_event("destination away", level=logging.WARNING, to=self.name, waiting=waiting)

    def _tell_untaken(self, session: Session, reason: str) -> None:
        self._untaken = True
        number = self._number(session, "set aside")
        open_alarm(
            session, NOT_TAKEN, self.name,
            f"{count(number, 'delivery', 'deliveries')} to {self.name} set aside, the last one: {reason}",
            "Mend the cause, and send them again: "
            f"secondread service send CONFIG --set-aside --to {self.name}",
        )  # fmt: skip

    def _close_untaken(self, session: Session) -> None:
        if self._number(session, "set aside") == 0:
            self._untaken = False
            close_alarm(session, NOT_TAKEN, self.name)

    def _number(self, session: Session, state: str) -> int:
        counted = (
            select(func.count())
            .select_from(Job)
            .where(Job.state == state, Job.kind.in_(KINDS), for_destination(self.name))
        )
        return session.scalar(counted) or 0
