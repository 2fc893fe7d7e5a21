"""A service's database and spool in which readings wait to be sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from made_study import header
from pydicom.uid import ComprehensiveSRStorage, SecondaryCaptureImageStorage, generate_uid
from sqlalchemy import select

from secondread.service.delivery.sender import run_sender
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.database import Database
from secondread.service.store.jobs import now
from secondread.service.store.orders import order_delivery
from secondread.service.store.tables import Alarm, Job, Reading, Result, Study, Table

QUICK = {"retry_s": 0.05, "longest_retry_s": 0.2, "timeout_s": 3, "alarm_min": 0}
NAME = "Dó|e^Jürgen^^Dr."
"""Of every patient; it may leave by HL7 and in DICOM alone."""


@dataclass
class Waiting:
    """`send` is the section of the configuration; readings wait for its destinations."""

    folder: Path
    send: dict[str, Any]
    public_url: str = ""
    prepare: Callable[[Database], object] = lambda database: Table.metadata.create_all(database.engine)
    """Makes the tables, in a moment; `migrate` as a service does."""
    uids: list[str] = field(default_factory=list)
    """Of all objects, in the order in which they wait."""

    def __post_init__(self) -> None:
        self.settings = ServiceSettings.model_validate(
            {
                "spool": self.folder / "spool",
                "bundles": [{"name": "chest", "bundle": self.folder / "bundle"}],
                "send": {**QUICK, **self.send},
                "page": {"public_url": self.public_url},
            }
        )
        self.spool = Spool(self.settings.spool)
        self.database = Database(self.settings.database_url)
        self.prepare(self.database)

    def add(self, number: int = 1, *, flagged: bool = True, kinds: tuple[str, ...] = ("SR", "SC")) -> None:
        for _ in range(number):
            with self.database.write() as session:
                study = Study(
                    study_uid=generate_uid(), state="read", first_received=now(), last_received=now(),
                    patient_id="P-4711", patient_name=NAME, birth_date="19500102", sex="M",
                    accession="A~77", study_date="20240501",
                )  # fmt: skip
                session.add(study)
                session.flush()
                reading = Reading(
                    study_id=study.id, revision=1, bundle="chest", bundle_digest="d" * 64, at=now(),
                    score=1.25, p_value=2e-5, flagged=flagged, threshold=1.0, false_alarm_rate=0.05,
                )  # fmt: skip
                session.add(reading)
                session.flush()
                with self.spool.new_reading(study.study_uid) as folder:
                    for kind in kinds:
                        self._write(session, study, reading, folder, kind)
                order_delivery(session, self.settings.send, reading)

    def _write(self, session: Any, study: Study, reading: Reading, folder: Path, kind: str) -> None:
        sop_class = {"SR": ComprehensiveSRStorage, "SC": SecondaryCaptureImageStorage}[kind]
        made = header(sop_class, "OT", np.zeros((4, 4), np.uint8))
        made.StudyInstanceUID = study.study_uid
        path = folder / f"{kind}.dcm"
        made.save_as(path, enforce_file_format=True)
        self.uids.append(str(made.SOPInstanceUID))
        session.add(
            Result(
                reading_id=reading.id, sop_instance_uid=self.uids[-1], sop_class_uid=sop_class,
                path=self.spool.name_of(path),
            )
        )  # fmt: skip

    @contextmanager
    def sending(self) -> Iterator[None]:
        """The sender at work in a thread of this process."""
        stop = threading.Event()
        errors: list[BaseException] = []

        def run() -> None:
            try:
                run_sender(self.settings, stop)
            except BaseException as error:
                errors.append(error)
                raise

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(30)
            assert not thread.is_alive()
            assert errors == []

    def send_all(self) -> None:
        """Until nothing waits any more."""
        with self.sending():
            self.until(lambda: not {"waiting", "running"} & set(self.states()))

    def until(self, there: Callable[[], object], seconds: float = 120.0) -> None:
        end = time.monotonic() + seconds
        while not there():
            assert time.monotonic() < end, [f"{job.key} {job.state} {job.reason}" for job in self.jobs()]
            time.sleep(0.03)

    def jobs(self) -> list[Job]:
        with self.database.read() as session:
            return list(session.scalars(select(Job).order_by(Job.id)))

    def states(self) -> list[str]:
        return [job.state for job in self.jobs()]

    def reasons(self) -> list[str]:
        return [job.reason for job in self.jobs()]

    def alarms(self) -> list[tuple[str, str, bool]]:
        """Kind, about what, whether it is open."""
        with self.database.read() as session:
            return [
                (row.kind, row.about, row.closed is None)
                for row in session.scalars(select(Alarm).order_by(Alarm.id))
            ]

    def told(self) -> str:
        """Everything that is said outside of studies and results: reasons and alarms."""
        with self.database.read() as session:
            alarms = session.scalars(select(Alarm)).all()
            return "\n".join([*self.reasons(), *(f"{one.text} {one.remedy}" for one in alarms)])
