"""A service that is not started: studies with their files, readings, results, verdicts and jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, select, update

from secondread.service.settings.bundles import BundleSettings
from secondread.service.settings.service import ServiceSettings
from secondread.service.settings.upkeep import UpkeepSettings
from secondread.service.spool.files import Spool
from secondread.service.store.database import Database
from secondread.service.store.jobs import enqueue, now
from secondread.service.store.migrate import migrate
from secondread.service.store.tables import Instance, Job, Reading, Result, Study, Verdict

FILM, REPORT, PICTURE = (
    "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.7",
)  # fmt: skip
NAME = "Vogelweide^Walther"
KINDS = (Instance, Reading, Result, Verdict, Job)


@dataclass
class Service:
    settings: ServiceSettings
    database: Database
    spool: Spool

    def study(
        self, uid: str = "1.2.3", *, patient: str = "4711", days: float = 0, state: str = "read",
        job: str = "done", instances: int = 2,
    ) -> int:  # fmt: skip
        """A study that was read so many days ago; its id."""
        at = now() - timedelta(days=days)
        with self.database.write() as session:
            study = Study(
                study_uid=uid, state=state, revision=instances, instances=instances, patient_id=patient,
                patient_name=NAME, accession=f"acc-{uid}", first_received=at, last_received=at,
                read_at=at if state == "read" else None, score=2.0,
            )  # fmt: skip
            session.add(study)
            session.flush()
            for number in range(instances):
                sop, data = f"{uid}.1.{number}", f"pixels of {uid} {number}".encode()
                with self.spool.keep(uid, f"{uid}.1", sop, data, largest=100) as kept:
                    session.add(
                        Instance(
                            study_id=study.id, sop_instance_uid=sop, sop_class_uid=FILM, path=kept.path,
                            series_uid=f"{uid}.1", size=kept.size, digest=kept.digest, revision=1,
                            received=at,
                        )
                    )  # fmt: skip
            enqueue(session, "score", f"{study.id}:1", study_id=study.id)
            session.execute(update(Job).where(Job.study_id == study.id).values(state=job))
            if state == "read":
                self._reading(session, study, uid, at)
            return study.id

    def _reading(self, session, study, uid, at) -> None:
        with self.spool.new_reading(uid) as folder:
            for name in ("readings.csv", "report.dcm", "picture.dcm"):
                (folder / name).write_text(f"{name} of {uid}")
            self.spool.sync_reading(folder)
            reading = Reading(
                study_id=study.id, revision=1, bundle="chest", bundle_digest="d" * 64, score=2.0, at=at,
                folder=self.spool.name_of(folder),
            )  # fmt: skip
            session.add(reading)
            session.flush()
            for kind, name in ((REPORT, "report.dcm"), (PICTURE, "picture.dcm")):
                path = self.spool.name_of(folder / name)
                session.add(
                    Result(
                        reading_id=reading.id, sop_class_uid=kind, path=path, sop_instance_uid=f"{uid}.{name}"
                    )
                )
            session.add(Verdict(study_id=study.id, person="ada", agrees=True, abnormal=False, at=at))
            session.flush()

    def files(self) -> list[str]:
        """Names of those in the spool."""
        found = [*self.spool.instances.rglob("*"), *self.spool.readings.rglob("*")]
        return sorted(path.suffix if path.suffix == ".csv" else path.name for path in found if path.is_file())

    def rows(self) -> dict[str, int]:
        with self.database.read() as session:
            return {
                kind.__tablename__: session.scalar(select(func.count()).select_from(kind)) or 0
                for kind in KINDS
            }

    def states(self) -> dict[str, str]:
        with self.database.read() as session:
            return {study.study_uid: study.state for study in session.scalars(select(Study))}


def made(folder: Path, url: str = "", **upkeep: object) -> Service:
    settings = ServiceSettings(
        spool=folder / "spool", database=url, upkeep=UpkeepSettings(**upkeep),
        bundles=(BundleSettings(name="none", bundle=folder / "none"),),
    )  # fmt: skip
    spool = Spool(settings.spool)
    database = Database(settings.database_url)
    migrate(database)
    return Service(settings, database, spool)
