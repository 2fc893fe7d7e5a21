"""The process that sends: a lane for each destination."""

from __future__ import annotations

import logging
import threading

from sqlalchemy import not_, or_, update

from secondread.service.delivery.archive import Archive
from secondread.service.delivery.carrier import Carrier
from secondread.service.delivery.hl7_receiver import Hl7Receiver
from secondread.service.delivery.lane import KINDS, Lane, for_destination
from secondread.service.delivery.mail import Mailbox
from secondread.service.delivery.stow import WebArchive
from secondread.service.delivery.webhook import Hook
from secondread.service.settings.sending import MAIL
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.away import Stop, Stopped, patiently
from secondread.service.store.database import Database
from secondread.service.store.jobs import now
from secondread.service.store.tables import Job
from secondread.service.store.workers import Registered
from secondread.terminal.events import log_event

STRAYS_S = 30.0
REST_S = 0.2


def carriers(settings: ServiceSettings) -> dict[str, Carrier]:
    """A way to each destination, by its name."""
    send, page = settings.send, settings.page.public_url
    found: dict[str, Carrier] = {}
    for hook in send.webhooks:
        found[hook.name] = Hook(hook, page, send.timeout_s)
    if send.mail is not None:
        found[MAIL] = Mailbox(send.mail, page, send.timeout_s)
    for receiver in send.hl7:
        found[receiver.name] = Hl7Receiver(receiver, send.timeout_s)
    for archive in send.dicom:
        found[archive.name] = Archive(archive, settings.receive.title, send.timeout_s)
    for server in send.web:
        found[server.name] = WebArchive(server, send.timeout_s)
    return found


def run_sender(settings: ServiceSettings, stop: Stop) -> None:
    """Deliver until `stop` is set; each destination at its own pace."""
    database, spool = Database(settings.database_url), Spool(settings.spool)
    try:
        with Registered(database, "sender", stop) as registered:
            lanes = [
                Lane(name, carrier, database, spool, settings.send, settings.tries, registered.id, stop)
                for name, carrier in carriers(settings).items()
            ]
            threads = [threading.Thread(target=lane.run, name=lane.name, daemon=True) for lane in lanes]
            for thread in threads:
                thread.start()
            try:
                while not stop.is_set() and all(thread.is_alive() for thread in threads):
                    patiently(lambda: _set_strays_aside(database, settings), stop)
                    _wait(stop, threads)
                if not stop.is_set():
                    raise RuntimeError("a lane ended by itself")  # the parent starts the process again
            finally:
                if stop.is_set():
                    for thread in threads:
                        thread.join()
    except Stopped:
        pass
    finally:
        database.close()


def _wait(stop: Stop, threads: list[threading.Thread]) -> None:
    for _ in range(round(STRAYS_S / REST_S)):
        if stop.wait(REST_S) or not all(thread.is_alive() for thread in threads):
            return


def _set_strays_aside(database: Database, settings: ServiceSettings) -> None:
    """What waits for a destination that the configuration does not name any more."""
    known = or_(*(for_destination(name) for name in settings.send.names)) if settings.send.names else None
    stray = update(Job).where(Job.state == "waiting", Job.kind.in_(KINDS))
    if known is not None:
        stray = stray.where(not_(known))
    said = {
        "state": "set aside", "ended": now(),
        "reason": "the configuration names no such destination; name it, and send again",
    }  # fmt: skip
    with database.write() as session:
        number = len(session.execute(stray.values(said).returning(Job.id)).all())
    if number:
        log_event("deliveries without a destination", level=logging.WARNING, number=number)
