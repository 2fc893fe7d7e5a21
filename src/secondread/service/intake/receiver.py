"""The storage SCP: what arrives is written down, and only then acknowledged."""

from __future__ import annotations

import contextlib
import logging
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pynetdicom
from pydicom.dataset import Dataset
from pynetdicom import _config, evt
from pynetdicom.ae import ApplicationEntity

from secondread.errors import UserError
from secondread.images.dicom.dataset import quiet_pydicom
from secondread.images.dicom.facts import cleaned
from secondread.service.intake.arriving import IMPLEMENTATION, VERSION_NAME, DataSet, Place
from secondread.service.intake.commitment import Answers, ask
from secondread.service.intake.complete import BACKFILL
from secondread.service.intake.connections import LARGEST_PDU, Listener
from secondread.service.intake.group_commit import GroupCommit
from secondread.service.intake.header import Told, read_header
from secondread.service.intake.offered import offered
from secondread.service.intake.receive import OUT_OF_RESOURCES, Door, Received
from secondread.service.intake.room import Room
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.away import Stop, Stopped
from secondread.service.store.database import Database
from secondread.service.store.refusals import Refusals
from secondread.service.store.workers import Registered
from secondread.terminal.events import log_event

GRACE_S = 10.0
"""How long associations may go on after the receiver was told to stop."""
QUIET_S = 120.0
"""Without a word an association ends."""
REPEATED_S = 60.0
"""The same refusal is logged once in this time."""
LONGEST_COMMENT = 64
COUNTED_S = 1.0
"""Refusals are written into the database as often."""


def run_receiver(settings: ServiceSettings, stop: Stop) -> None:
    """Receive until `stop` is set. Raises UserError where the address or a certificate cannot be used."""
    more_descriptors()
    database, spool = Database(settings.database_url), Spool(settings.spool)
    try:
        with ExitStack() as stack:
            worker = stack.enter_context(Registered(database, "receiver", stop))
            receiver = stack.enter_context(Receiver(settings, database, spool, worker.id))
            while not stop.wait(COUNTED_S):
                receiver.refusals.write(database)
    except Stopped:
        pass
    finally:
        database.close()


class Receiver:
    """A storage SCP with C-ECHO and storage commitment, from entering until leaving; `port` is where it
    listens."""

    def __init__(self, settings: ServiceSettings, database: Database, spool: Spool, worker: str) -> None:
        self._settings, self._database = settings, database
        self._room = Room(database, spool, settings)
        self._committed = GroupCommit(database, spool)
        self._door = Door(spool, self._room, settings, self._committed)
        self._asked: dict[str, Any] = {}
        self._answers = Answers(database, spool, settings, worker, self._asking)
        self._told: dict[tuple[str, str], float] = {}
        self._stack = ExitStack()
        self._place = Place(spool, self._room, settings)
        self._listener: Listener | None = None
        self.refusals = Refusals()
        self.received = self.refused = 0

    @property
    def listener(self) -> Listener:
        assert self._listener is not None
        return self._listener

    @property
    def port(self) -> int:
        return self.listener.port

    def __enter__(self) -> Receiver:
        receiving = self._settings.receive
        entity = ApplicationEntity(receiving.title)
        entity.maximum_pdu_size = LARGEST_PDU
        entity.maximum_associations = 2 * receiving.associations  # the listener counts, before it starts one
        entity.acse_timeout = entity.dimse_timeout = 30
        entity.network_timeout = QUIET_S
        entity.implementation_class_uid = IMPLEMENTATION
        entity.implementation_version_name = VERSION_NAME
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._action)]
        with ExitStack() as begun:
            begun.enter_context(quiet_pydicom())
            begun.enter_context(quiet_pynetdicom())
            try:
                listener = Listener(entity, offered(), handlers, self._place, self._tell, self.refusals)
            except OSError as error:
                raise UserError(
                    f"receive: cannot listen on {receiving.address}:{receiving.port} ({error.strerror}); "
                    "choose another address or port, or end who listens there"
                ) from None
            begun.enter_context(self._committed)
            self._listener = listener
            listener.start()
            self._answers.start()
            self._stack = begun.pop_all()
        log_event("receiver listens", port=self.port, associations=receiving.associations)
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.stop()
        self._answers.stop()
        until = time.monotonic() + GRACE_S
        while self.listener.active and time.monotonic() < until:
            time.sleep(0.02)
        for association in self.listener.active:
            with contextlib.suppress(Exception):
                association.abort()
        self._stack.close()
        self.refusals.write(self._database)
        log_event("receiver ended", received=self.received, refused=self.refused)

    def _store(self, event: evt.Event) -> Dataset:
        """Answers C-STORE. Whatever happens is a status, and success means kept."""
        request: Any = event.request
        arrived: DataSet = request.DataSet
        try:
            with self._committed.coming():
                taken = self._take(request, arrived, event.assoc.requestor.ae_title.strip())
        except Exception as error:
            log_event("instance not received", level=logging.ERROR, error=type(error).__name__)
            taken = Received(OUT_OF_RESOURCES, "it cannot be received")
        finally:
            arrived.discard()
        answer = Dataset()
        answer.Status = taken.status
        if taken.status:
            self.refused += 1
            answer.ErrorComment = taken.reason[:LONGEST_COMMENT]
            self._tell("instance refused", {"why": taken.reason, "status": f"{taken.status:04X}"})
        else:
            self.received += 1
        return answer

    def _take(self, request: Any, arrived: DataSet, title: str) -> Received:
        if arrived.reason or arrived.file is None:
            return Received(OUT_OF_RESOURCES, arrived.reason or "there is no data set")
        file = arrived.file

        def header() -> Told:
            with file.read_again() as stream:
                return read_header(stream)

        named = (str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        was_asked_for = request.MoveOriginatorApplicationEntityTitle == self._settings.receive.title
        return self._door.take(header, file, BACKFILL * was_asked_for + title, named=named)

    def _action(self, event: evt.Event) -> tuple[int, None]:
        """Answers N-ACTION of storage commitment."""
        asked = event.action_information
        title = event.assoc.requestor.ae_title.strip()
        status = ask(self._database, self._settings, title, int(event.action_type or 0), asked)
        if status == 0:
            while len(self._asked) > 1000:
                self._asked.pop(next(iter(self._asked)))
            self._asked[str(asked.TransactionUID)] = event.assoc
            self._answers.wake()
        return status, None

    def _asking(self, transaction: str) -> Any:
        association = self._asked.pop(transaction, None)
        return association if association is not None and association.is_established else None

    def _tell(self, what: str, facts: dict[str, str]) -> None:
        """Counted, and a line in the log, which does not come again for a while: a sender that tries again
        every second fills no disk. Texts of a peer are cleaned."""
        self.refusals.add(what, facts.get("status", ""))
        facts = {name: cleaned(found) if name == "title" else found for name, found in facts.items()}
        key = (what, "|".join(facts.values()))
        if time.monotonic() - self._told.get(key, -REPEATED_S) < REPEATED_S:
            return
        if len(self._told) > 1000:
            self._told.clear()
        self._told[key] = time.monotonic()
        log_event(what, level=logging.WARNING, facts=facts)


@contextmanager
def quiet_pynetdicom() -> Iterator[None]:
    """Within the block the library logs nothing: its lines repeat what peers send."""
    before, logger = _config.LOG_HANDLER_LEVEL, logging.getLogger(pynetdicom.__name__)
    level = logger.level
    _config.LOG_HANDLER_LEVEL = "none"
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        _config.LOG_HANDLER_LEVEL = before
        logger.setLevel(level)


def more_descriptors() -> None:
    """As many open files and connections as the system lets this process have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
