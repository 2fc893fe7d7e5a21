"""A service without its network: studies made on the spot lie in its spool and database, ready to be read."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from made_study import write_film
from sqlalchemy import select

from secondread.bundles.fitted_model import FittedModel
from secondread.service.reading.at_work import AtWork
from secondread.service.reading.scorer import KIND, Scorer
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.database import Database
from secondread.service.store.jobs import enqueue, now
from secondread.service.store.migrate import migrate
from secondread.service.store.tables import Instance, Job, Reading, Result, Study

STUDY = "1.2.826.0.1.3680043.8.498.77"
Bundles = tuple[AtWork, ...]
GATE = {"on": False}
"""Noise is no film: most tests ask for its reading all the same."""


@dataclass
class Service:
    settings: ServiceSettings
    database: Database
    spool: Spool

    def receive(self, *files: Path, study: str = STUDY, complete: bool = True, **facts: Any) -> int:
        """As the receiver does: files and rows, then a job for the study's revision."""
        with self.database.write() as session:
            row = session.scalars(select(Study).filter_by(study_uid=study)).one_or_none() or Study(
                study_uid=study, revision=0, instances=0, first_received=now()
            )
            row.revision, row.last_received, row.state = row.revision + 1, now(), "receiving"
            session.add(row)
            session.flush()
            for file in files:
                header = pydicom.dcmread(file, stop_before_pixels=True)
                uid, series = str(header.SOPInstanceUID), str(header.SeriesInstanceUID)
                with self.spool.keep(study, series, uid, file.read_bytes(), largest=1 << 30) as kept:
                    said = {"modality": str(header.Modality), "scanner": "s1", **facts}
                    session.add(
                        Instance(
                            study_id=row.id, sop_instance_uid=uid, sop_class_uid=str(header.SOPClassUID),
                            series_uid=series, path=kept.path, size=kept.size, digest=kept.digest,
                            revision=row.revision, received=now(), facts=said,
                        )
                    )  # fmt: skip
            if complete:
                row.state = "waiting"
                enqueue(session, KIND, f"{row.id}:{row.revision}", study_id=row.id)
            return row.id

    def study(self, study: str = STUDY) -> Study:
        with self.database.read() as session:
            return session.scalars(select(Study).filter_by(study_uid=study)).one()

    def readings(self, **of: Any) -> list[Reading]:
        with self.database.read() as session:
            return list(session.scalars(select(Reading).filter_by(**of).order_by(Reading.id)))

    def results(self) -> list[Result]:
        with self.database.read() as session:
            return list(session.scalars(select(Result).order_by(Result.sop_instance_uid)))

    def jobs(self, kind: str = KIND) -> list[Job]:
        with self.database.read() as session:
            return list(session.scalars(select(Job).filter_by(kind=kind).order_by(Job.id)))

    def scorer(
        self, bundles: tuple[AtWork, ...], worker: str = "w1", stop: threading.Event | None = None
    ) -> Scorer:
        return Scorer(
            self.settings, self.database, self.spool, bundles, worker, stop or threading.Event(),
            delay=timedelta(0),
        )  # fmt: skip


def made_service(folder: Path, bundles: list[dict[str, Any]], **more: Any) -> Service:
    settings = ServiceSettings.model_validate(
        {"spool": folder / "spool", "bundles": bundles, "device": "cpu", **more}
    )
    spool = Spool(settings.spool)
    database = Database(settings.database_url)
    migrate(database)
    return Service(settings, database, spool)


def service_of(folder: Path, bundle: FittedModel, **more: Any) -> Service:
    return made_service(folder, [{"name": "films", "bundle": bundle.path, "gate": GATE}], **more)


def film(path: Path, seed: int, **elements: Any) -> Path:
    """A film of noise with a bright place."""
    pixels = np.random.default_rng(seed).integers(500, 900, (48, 40)).astype(np.uint16)
    pixels[10:20, 8:16] = 3000
    return write_film(path, pixels, **{"StudyInstanceUID": STUDY, **elements})
