"""Storage commitment: a sender asks whether its instances are safe here, and is told of each.

The request is a job before it is acknowledged, so that it is answered also by a service that was killed
meanwhile. "Committed" is said of an instance whose row and file are there, and of nothing else.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import build_context, build_role
from pynetdicom.ae import ApplicationEntity
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)
from sqlalchemy import select

from secondread.images.dicom.dataset import text
from secondread.service.intake.certificates import caller_context
from secondread.service.intake.complete import complete_committed
from secondread.service.intake.header import is_uid
from secondread.service.intake.peers import Peers
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.away import Stop, Stopped, patiently
from secondread.service.store.database import Database
from secondread.service.store.jobs import Claim, LostClaim, claim, enqueue, finish, set_aside, try_again
from secondread.service.store.tables import Instance, Result
from secondread.terminal.events import log_event

KIND = "commit"
MOST = 30_000
"""Instances in one request."""
NO_SUCH_INSTANCE, OF_ANOTHER_CLASS = 0x0112, 0x0119
"""Reasons of a failure (PS3.3 C.14.1.1)."""
SUCCESS, INVALID_ARGUMENT, NO_SUCH_ACTION, LIMITED = 0x0000, 0x0115, 0x0123, 0x0213
TRIES, PAUSE = 20, timedelta(minutes=2)
LOOKS_EVERY_S = 1.0
Asked = list[tuple[str, str]]


def ask(database: Database, settings: ServiceSettings, peer: str, action: int, asked: Dataset) -> int:
    """Write a request down, and complete the studies that it names whole; the status of its answer."""
    if action != 1:
        return NO_SUCH_ACTION
    transaction = text(asked, "TransactionUID")
    named = [
        (text(item, "ReferencedSOPClassUID"), text(item, "ReferencedSOPInstanceUID"))
        for item in asked.get("ReferencedSOPSequence") or ()
    ]
    if not is_uid(transaction) or not named or not all(is_uid(one) for pair in named for one in pair):
        return INVALID_ARGUMENT
    if len(named) > MOST:
        return LIMITED
    try:
        with database.write() as session:
            payload = {"peer": peer, "transaction": transaction, "asked": named}
            enqueue(session, KIND, f"{peer}:{transaction}", payload=payload)
            if settings.complete.commitment:
                complete_committed(session, {uid for _, uid in named})
    except Exception as error:
        log_event("commitment not taken", level=logging.ERROR, error=type(error).__name__)
        return LIMITED
    return SUCCESS


def answer(database: Database, spool: Spool, transaction: str, asked: Asked) -> tuple[int, Dataset]:
    """The event's type (1: all are safe, 2: some are not) and its information (PS3.4 J.3.3)."""
    uids = [uid for _, uid in asked]
    with database.read() as session:
        kept = session.execute(
            select(Instance.sop_instance_uid, Instance.sop_class_uid, Instance.path).where(
                Instance.sop_instance_uid.in_(uids)
            )
        )
        held = {uid: sop_class for uid, sop_class, path in kept if spool.has(path)}
        results = session.execute(
            select(Result.sop_instance_uid, Result.sop_class_uid).where(Result.sop_instance_uid.in_(uids))
        )
        held.update((uid, sop_class) for uid, sop_class in results)
    told = Dataset()
    told.TransactionUID = transaction
    safe, failed = [], []
    for sop_class, uid in asked:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        if held.get(uid) == sop_class:
            safe.append(item)
        else:
            item.FailureReason = OF_ANOTHER_CLASS if uid in held else NO_SUCH_INSTANCE
            failed.append(item)
    if safe:
        told.ReferencedSOPSequence = safe
    if failed:
        told.FailedSOPSequence = failed
    return (2 if failed else 1), told


class Answers:
    """A thread that answers requests: a peer that the configuration names by an association of its own, at
    its address and port; another one on the association on which it asked, while that lasts."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        settings: ServiceSettings,
        worker: str,
        asking: Callable[[str], Any],
    ) -> None:
        self._database, self._spool, self._settings = database, spool, settings
        self._worker, self._asking = worker, asking
        self._peers = Peers(settings.receive)
        self._wake, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="commitment", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._end.set()
        self._wake.set()
        self._thread.join(30.0)

    def _run(self) -> None:
        stop: Stop = self._end
        while not self._end.is_set():
            try:
                taken = patiently(lambda: claim(self._database, [KIND], self._worker), stop)
                if taken is None:
                    self._wake.wait(LOOKS_EVERY_S)
                    self._wake.clear()
                else:
                    self._answer(taken, stop)
            except (Stopped, LostClaim):
                continue
            except Exception as error:
                log_event("commitment failed", level=logging.ERROR, error=type(error).__name__)
                self._end.wait(LOOKS_EVERY_S)

    def _answer(self, taken: Claim, stop: Stop) -> None:
        payload = taken.payload
        asked = [(str(sop_class), str(uid)) for sop_class, uid in payload["asked"]]
        kind, told = patiently(
            lambda: answer(self._database, self._spool, payload["transaction"], asked), stop
        )
        done = self._told(str(payload["peer"]), payload["transaction"], kind, told)

        def end() -> None:
            with self._database.write() as session:
                if done:
                    finish(session, taken)
                elif taken.tries >= TRIES:
                    set_aside(session, taken, "the peer takes no answer")
                else:
                    try_again(session, taken, "the peer takes no answer now", PAUSE)

        patiently(end, stop)
        if not done:
            log_event("commitment not answered", level=logging.WARNING, tries=taken.tries)

    def _told(self, peer: str, transaction: str, kind: int, told: Dataset) -> bool:
        known = self._peers.named(peer)
        if known is None:
            association = self._asking(transaction)
            return association is not None and _report(association, kind, told)
        entity = ApplicationEntity(self._settings.receive.title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
        entity.connection_timeout = 10
        tls = None if known.tls is None else (caller_context(known.tls), known.address)
        association = entity.associate(
            known.address,
            known.port,
            contexts=[build_context(StorageCommitmentPushModel)],
            ae_title=known.title,
            ext_neg=[build_role(StorageCommitmentPushModel, scu_role=False, scp_role=True)],
            tls_args=tls,
        )
        try:
            return association.is_established and _report(association, kind, told)
        finally:
            with contextlib.suppress(Exception):
                association.release()


def _report(association: Any, kind: int, told: Dataset) -> bool:
    try:
        status, _ = association.send_n_event_report(
            told, kind, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
    except (RuntimeError, ValueError):
        return False
    return int(status.get("Status", -1)) == SUCCESS if status else False
