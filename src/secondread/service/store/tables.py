"""The tables of the service's database: what is known of studies, of the work on them, and of people.

Patients' identities lie here and in the spool alone. Times are UTC. Everything that must happen once has a
key that is unique, so that doing it again changes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

UID = String(64)
NAME = String(200)
NEVER_AGAIN = {"sqlite_autoincrement": True}
"""The number of a row that was removed is given to no other: jobs are told apart by it. PostgreSQL does so by
itself."""


class Utc(TypeDecorator[datetime]):
    """A time with its zone, which SQLite would lose."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without its zone")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Table(DeclarativeBase):
    type_annotation_map = {datetime: Utc, dict[str, Any]: JSON, str: Text}  # noqa: RUF012


class Study(Table):
    """A study as it stands.

    state      `receiving` until it is complete, `waiting` for a scorer, `reading`, then one of `read`, `not
               read` (no bundle takes it, or its content is not what its header says: `reason`), `set aside`
               (it failed in all its tries: `reason`), `erased`
    revision   grows with every new instance: a reading belongs to one, and a late instance asks for another
    score, p_value, flagged   of the shown bundle's newest reading, for the worklist
    """

    __tablename__ = "study"
    __table_args__ = (
        # the worklist's orders and filters, as `page/worklist/find.py` writes them
        Index("study_rank", text("coalesce(p_value, 2.0)"), text("(-coalesce(score, -1e300))"), "id"),
        Index("study_received", "last_received", "id"),
        Index("study_date", "study_date", "id"),
        Index("study_name", text("lower(patient_name)"), "id"),
        Index("study_patient", text("lower(patient_id)"), "id"),
        Index("study_accession", text("lower(accession)"), "id"),
        Index("study_modality", "modality"),
        Index(
            "study_flagged", "last_received",
            sqlite_where=text("flagged IS 1"), postgresql_where=text("flagged IS true"),
        ),
        NEVER_AGAIN,
    )  # fmt: skip
    id: Mapped[int] = mapped_column(primary_key=True)
    study_uid: Mapped[str] = mapped_column(UID, unique=True)
    state: Mapped[str] = mapped_column(String(20), index=True)
    revision: Mapped[int] = mapped_column(default=0)
    instances: Mapped[int] = mapped_column(default=0)
    patient_id: Mapped[str] = mapped_column(default="", index=True)
    patient_name: Mapped[str] = mapped_column(default="")
    birth_date: Mapped[str] = mapped_column(default="")
    sex: Mapped[str] = mapped_column(default="")
    accession: Mapped[str] = mapped_column(default="", index=True)
    study_date: Mapped[str] = mapped_column(default="")
    description: Mapped[str] = mapped_column(default="")
    modality: Mapped[str] = mapped_column(default="")
    first_received: Mapped[datetime]
    last_received: Mapped[datetime]
    bundle: Mapped[str] = mapped_column(default="")
    score: Mapped[float | None]
    p_value: Mapped[float | None]
    flagged: Mapped[bool | None]
    read_at: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(default="")


class Instance(Table):
    """One DICOM object that was acknowledged: it lies in the spool.

    path    below the spool, with its File Meta Information, as it was received
    digest  SHA-256 of the file
    facts   what routing and watching ask: modality, body part, view, laterality, age, maker, model, station
            (hashed)
    """

    __tablename__ = "instance"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"), index=True)
    sop_instance_uid: Mapped[str] = mapped_column(UID, unique=True)
    sop_class_uid: Mapped[str] = mapped_column(UID)
    series_uid: Mapped[str] = mapped_column(UID)
    path: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(64))
    revision: Mapped[int]
    sender: Mapped[str] = mapped_column(default="")
    received: Mapped[datetime]
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Worker(Table):
    """A process that takes jobs. `beat` grows while it lives: whoever sees it stand still for long, by a
    clock of his own that nobody sets back, gives its jobs to others."""

    __tablename__ = "worker"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    role: Mapped[str] = mapped_column(String(20))
    beat: Mapped[int] = mapped_column(default=0)
    started: Mapped[datetime]


class Job(Table):
    """Something to be done once: `kind` says what, `key` which; its effects and its end are one transaction.

    state  `waiting`, `running` (by `worker`), `done`, or `set aside` after its tries, with the `reason`
    tries  counted when it is taken, so that a job that kills its worker comes to an end too
    """

    __tablename__ = "job"
    __table_args__ = (UniqueConstraint("kind", "key"), Index("job_next", "state", "kind", "not_before"))
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    key: Mapped[str] = mapped_column(String(200))
    study_id: Mapped[int | None] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"), index=True)
    payload: Mapped[dict[str, Any]] = mapped_column(default=dict)
    state: Mapped[str] = mapped_column(String(20), default="waiting")
    urgent: Mapped[int] = mapped_column(default=0)
    tries: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime]
    worker: Mapped[str | None] = mapped_column(String(64), index=True)
    reason: Mapped[str] = mapped_column(default="")
    created: Mapped[datetime]
    ended: Mapped[datetime | None]


class Reading(Table):
    """What one bundle said of one revision of a study.

    shadow     by a bundle that is tried beside the one that is shown
    worst      SOP Instance UID of the image that the study's score is of
    threshold  in force when it was read: the score, and the false-alarm rate that it promises
    images     per image: instance uid, score, p-value, flagged, parts, seen, error
    scanner    which machine made the worst image, as a hash of maker, model and station
    facts      acquisition facts, and `features`, what the encoder's features are summed up as, where there
               are any
    folder     below the spool: readings.csv, maps and results
    """

    __tablename__ = "reading"
    __table_args__ = (UniqueConstraint("study_id", "revision", "bundle_digest"), NEVER_AGAIN)
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"), index=True)
    revision: Mapped[int]
    bundle: Mapped[str] = mapped_column(NAME)
    bundle_digest: Mapped[str] = mapped_column(String(64))
    shadow: Mapped[bool] = mapped_column(default=False)
    score: Mapped[float | None]
    p_value: Mapped[float | None]
    flagged: Mapped[bool | None]
    threshold: Mapped[float | None]
    false_alarm_rate: Mapped[float | None]
    worst: Mapped[str] = mapped_column(default="")
    images: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    scanner: Mapped[str] = mapped_column(default="", index=True)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    folder: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime] = mapped_column(index=True)
    seconds: Mapped[float] = mapped_column(default=0.0)


class Result(Table):
    """A DICOM object that was made of a reading. Its UID follows from the study, the bundle and the
    version."""

    __tablename__ = "result"
    id: Mapped[int] = mapped_column(primary_key=True)
    reading_id: Mapped[int] = mapped_column(ForeignKey("reading.id", ondelete="CASCADE"), index=True)
    sop_instance_uid: Mapped[str] = mapped_column(UID, unique=True)
    sop_class_uid: Mapped[str] = mapped_column(UID)
    path: Mapped[str]


class ThresholdChange(Table):
    """From `at` on, `bundle` flags at this false-alarm rate: the newest row counts."""

    __tablename__ = "threshold_change"
    id: Mapped[int] = mapped_column(primary_key=True)
    bundle: Mapped[str] = mapped_column(NAME, index=True)
    false_alarm_rate: Mapped[float]
    person: Mapped[str] = mapped_column(NAME)
    comment: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime]


class Verdict(Table):
    """What a person says of a study: the newest one of each person counts, and becomes a label for
    `evaluate`."""

    __tablename__ = "verdict"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"), index=True)
    reading_id: Mapped[int | None] = mapped_column(ForeignKey("reading.id", ondelete="SET NULL"))
    person: Mapped[str] = mapped_column(NAME)
    agrees: Mapped[bool]
    abnormal: Mapped[bool]
    comment: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime]


class Person(Table):
    """Who may look. `password` is an argon2 hash, empty for those who come by OpenID Connect (`subject`)."""

    __tablename__ = "person"
    name: Mapped[str] = mapped_column(NAME, primary_key=True)
    role: Mapped[str] = mapped_column(String(20))
    password: Mapped[str] = mapped_column(default="")
    subject: Mapped[str | None] = mapped_column(String(300), unique=True)
    language: Mapped[str] = mapped_column(String(8), default="")
    disabled: Mapped[bool] = mapped_column(default=False)
    created: Mapped[datetime]


class LoginSession(Table):
    """A browser that is logged in. `token` is the SHA-256 of what its cookie holds."""

    __tablename__ = "login_session"
    token: Mapped[str] = mapped_column(String(64), primary_key=True)
    person: Mapped[str] = mapped_column(ForeignKey("person.name", ondelete="CASCADE"), index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    created: Mapped[datetime]
    last_seen: Mapped[datetime]
    expires: Mapped[datetime]


class Audit(Table):
    """Who saw or did what: rows are added and never changed, which triggers enforce, and each row's `chain`
    is a hash of the row before and of itself."""

    __tablename__ = "audit"
    __table_args__ = (NEVER_AGAIN,)
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    person: Mapped[str] = mapped_column(NAME)
    action: Mapped[str] = mapped_column(String(40), index=True)
    study_uid: Mapped[str] = mapped_column(UID, default="", index=True)
    detail: Mapped[str] = mapped_column(default="")
    address: Mapped[str] = mapped_column(String(64), default="")
    chain: Mapped[str] = mapped_column(String(64))


class Alarm(Table):
    """Something that a person should know: drift, a full disk, a destination that is away. Open until
    `closed`."""

    __tablename__ = "alarm"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(40), index=True)
    about: Mapped[str] = mapped_column(String(200), default="")
    text: Mapped[str]
    remedy: Mapped[str] = mapped_column(default="")
    opened: Mapped[datetime]
    closed: Mapped[datetime | None]
    seen_by: Mapped[str] = mapped_column(default="")
    count: Mapped[int] = mapped_column(Integer, default=1)


class Refusal(Table):
    """How often something was refused, and when last."""

    __tablename__ = "refusal"
    what: Mapped[str] = mapped_column(String(40), primary_key=True)
    status: Mapped[str] = mapped_column(String(8), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    last: Mapped[datetime]
