"""A receiver for tests, and senders that talk to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pydicom
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RJ

from secondread.service.intake.receiver import Receiver
from secondread.service.settings.receiving import ReceivingSettings
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.database import Database
from secondread.service.store.tables import Table


@contextmanager
def receiving(settings: ServiceSettings, **changed: Any) -> Iterator[Receiver]:
    """On any free port of this machine."""
    received = ReceivingSettings(**{"port": 0, "free_gb": 0.0, **changed})
    settings = settings.model_copy(update={"receive": received})
    spool = Spool(settings.spool)
    database = Database(settings.database_url)
    try:
        Table.metadata.create_all(database.engine)
        with Receiver(settings, database, spool, "receiver of a test") as receiver:
            yield receiver
    finally:
        database.close()


def caller(receiver: Receiver, files: Iterable[bytes] = (), **options: Any) -> Association:
    """An association that proposes what the files need; `title` and `called` are its AE titles."""
    entity = AE(options.pop("title", "MODALITY"))
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    contexts = {(one.SOPClassUID, one.file_meta.TransferSyntaxUID) for one in map(parsed, files)}
    asked = [build_context(name, syntax) for name, syntax in sorted(contexts)]
    asked += [build_context(name) for name in options.pop("also", ())] or (
        [] if asked else [build_context("1.2.840.10008.1.1")]
    )
    called = options.pop("called", "SECONDREAD")
    return entity.associate("127.0.0.1", receiver.port, contexts=asked, ae_title=called, **options)


def refusal(receiver: Receiver, **options: Any) -> tuple[int, int, int]:
    """Result, source and reason with which an association is rejected, as they came over the wire: pynetdicom
    forgets them where they come before its own thread has seen that there is a connection."""
    came: list[Any] = []
    association = caller(
        receiver, evt_handlers=[(evt.EVT_PDU_RECV, lambda event: came.append(event.pdu))], **options
    )
    assert not association.is_established
    (pdu,) = came
    assert isinstance(pdu, A_ASSOCIATE_RJ)
    return int(pdu.result or 0), int(pdu.source or 0), int(pdu.reason_diagnostic or 0)


def send(receiver: Receiver, *files: bytes, **options: Any) -> list[int]:
    """C-STORE of each; their statuses."""
    association = caller(receiver, files, **options)
    assert association.is_established
    statuses = [int(association.send_c_store(parsed(one)).Status) for one in files]
    association.release()
    return statuses


def parsed(file: bytes) -> pydicom.FileDataset:
    return pydicom.dcmread(BytesIO(file))
