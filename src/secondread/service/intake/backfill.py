"""Studies that an archive has already are asked for, one by one, while live ones come first.

What is here already is passed over, so that a run that was ended goes on where it was. Each study is asked
for by C-MOVE to this service's own receiver, or by C-GET where an archive moves nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import StoragePresentationContexts, build_context, build_role, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)
from sqlalchemy import func, select

from secondread.errors import DataError, UserError
from secondread.images.dicom.dataset import quiet_pydicom, text
from secondread.service.intake.certificates import caller_context
from secondread.service.intake.complete import BACKFILL
from secondread.service.intake.header import is_uid
from secondread.service.intake.receive import OUT_OF_RESOURCES, receive_instance
from secondread.service.intake.receiver import quiet_pynetdicom
from secondread.service.settings.receiving import Peer
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.database import Database
from secondread.service.store.tables import Job, Study

PENDING = (0xFF00, 0xFF01)
SUCCESS = 0x0000
MOST_CONTEXTS = 127
LOOKS_EVERY_S = 1.0


@dataclass(frozen=True)
class Asked:
    """Studies of these days, from and to, both included, with an image of one of these modalities."""

    since: date
    until: date
    modalities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pace:
    """per_hour  studies asked for at most; waiting  studies that may wait for scorers while another is
    asked for"""

    per_hour: float = 600.0
    waiting: int = 50


@dataclass
class Backfilled:
    """How many studies were found, were here already, were fetched whole, and were not."""

    found: int = 0
    here: int = 0
    fetched: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Found:
    """A study at the archive; `instances` is 0 where it does not say how many it has."""

    study_uid: str
    instances: int


def peer_named(settings: ServiceSettings, title: str) -> Peer:
    for peer in settings.receive.peers:
        if peer.title == title:
            return peer
    known = ", ".join(peer.title for peer in settings.receive.peers) or "none"
    raise UserError(f"receive.peers names no {title}; it names {known}")


class Archive:
    """The archive, as it is asked: C-FIND, and C-MOVE or C-GET."""

    def __init__(self, settings: ServiceSettings, peer: Peer, database: Database, spool: Spool) -> None:
        self._settings, self._peer, self._database, self._spool = settings, peer, database, spool

    def find(self, asked: Asked) -> list[Found]:
        """The newest day first. Raises DataError where the archive does not answer."""
        wanted = Dataset()
        wanted.QueryRetrieveLevel = "STUDY"
        wanted.StudyDate = f"{asked.since:%Y%m%d}-{asked.until:%Y%m%d}"
        wanted.StudyInstanceUID = ""
        wanted.NumberOfStudyRelatedInstances = ""
        model = StudyRootQueryRetrieveInformationModelFind
        found: dict[str, tuple[str, Found]] = {}
        with self._associated(model) as association:
            for modality in asked.modalities or ("",):
                wanted.ModalitiesInStudy = modality
                for study in self._answers(association.send_c_find(wanted, model)):
                    uid, count = text(study, "StudyInstanceUID"), text(study, "NumberOfStudyRelatedInstances")
                    if is_uid(uid):
                        one = Found(uid, int(count) if count.isdecimal() else 0)
                        found[uid] = (text(study, "StudyDate"), one)
        return [one for _, one in sorted(found.values(), key=lambda pair: pair[0], reverse=True)]

    def move(self, study_uid: str) -> None:
        """Raises DataError where the archive does not say that it sent the study."""
        model = StudyRootQueryRetrieveInformationModelMove
        with self._associated(model) as association:
            wanted = _of_study(study_uid)
            list(self._answers(association.send_c_move(wanted, self._settings.receive.title, model)))

    def get(self, study_uid: str) -> None:
        """Raises DataError where the archive does not say that it sent the study."""
        model = StudyRootQueryRetrieveInformationModelGet

        def store(event: evt.Event) -> int:
            try:
                data, sender = event.encoded_dataset(), BACKFILL + self._peer.title
                return receive_instance(self._database, self._spool, self._settings, data, sender).status
            except Exception:
                return OUT_OF_RESOURCES

        storage = StoragePresentationContexts[:MOST_CONTEXTS]
        roles = [build_role(str(context.abstract_syntax), scp_role=True) for context in storage]
        with self._associated(model, storage, ext_neg=roles, evt_handlers=[(evt.EVT_C_STORE, store)]) as one:
            list(self._answers(one.send_c_get(_of_study(study_uid), model)))

    def _answers(self, answers: Any) -> Iterator[Dataset]:
        for status, identifier in answers:
            code = int(status.get("Status", -1)) if status else -1
            if code in PENDING:
                if identifier is not None:
                    yield identifier
            elif code != SUCCESS:
                said = "broke off" if code < 0 else f"answered with status {code:04X}"
                raise DataError(f"{self._peer.title} {said}")

    @contextmanager
    def _associated(self, model: str, more: Any = (), **options: Any) -> Iterator[Any]:
        entity = ApplicationEntity(self._settings.receive.title)
        entity.acse_timeout = entity.connection_timeout = 30
        entity.dimse_timeout = entity.network_timeout = 600
        tls = self._peer.tls
        with quiet_pydicom(), quiet_pynetdicom():
            association = entity.associate(
                self._peer.address,
                self._peer.port,
                contexts=[build_context(model), *more],
                ae_title=self._peer.title,
                tls_args=None if tls is None else (caller_context(tls), self._peer.address),
                **options,
            )
            if not association.is_established:
                why = "refuses the association" if association.is_rejected else "does not answer"
                raise DataError(
                    f"{self._peer.title} at {self._peer.address}:{self._peer.port} {why}; it has to know "
                    f"{self._settings.receive.title} as well"
                )
            try:
                yield association
            finally:
                with contextlib.suppress(Exception):
                    association.release()


def backfill(
    archive: Archive,
    database: Database,
    asked: Asked,
    pace: Pace,
    *,
    by_get: bool = False,
    note: Callable[[int, int], None] = lambda done, of: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Backfilled:
    """Fetch what is not here; `note` is told images done and in all. A study that fails is counted, and the
    next one asked for. Raises DataError where the archive cannot be asked what it has."""
    studies = archive.find(asked)
    told = Backfilled(found=len(studies))
    total, done, earliest = sum(max(1, one.instances) for one in studies), 0, clock()
    for one in studies:
        if _is_here(database, one):
            told.here += 1
        else:
            while clock() < earliest or _waiting(database) >= pace.waiting:
                sleep(min(LOOKS_EVERY_S, max(0.01, earliest - clock())))
            earliest = clock() + 3600.0 / pace.per_hour
            try:
                (archive.get if by_get else archive.move)(one.study_uid)
                whole = _is_here(database, one)
            except DataError:
                whole = False
            told.fetched += whole
            told.failed += not whole
        done += max(1, one.instances)
        note(done, total)
    return told


def _of_study(study_uid: str) -> Dataset:
    wanted = Dataset()
    wanted.QueryRetrieveLevel = "STUDY"
    wanted.StudyInstanceUID = study_uid
    return wanted


def _is_here(database: Database, found: Found) -> bool:
    with database.read() as session:
        here = session.scalar(select(Study.instances).where(Study.study_uid == found.study_uid))
    return bool(here) and (here or 0) >= found.instances


def _waiting(database: Database) -> int:
    with database.read() as session:
        count = select(func.count()).select_from(Job).where(Job.kind == "score", Job.state == "waiting")
        return session.scalar(count) or 0
