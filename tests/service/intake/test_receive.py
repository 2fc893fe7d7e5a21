"""What arrives is kept once, with its facts, or refused; what is acknowledged is there."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from intake_instances import NAMES, film, report
from sqlalchemy import select

from secondread.service.intake.receive import (
    ANOTHER_IS_HERE,
    CANNOT_UNDERSTAND,
    OUT_OF_RESOURCES,
    SUCCESS,
    Received,
    receive_instance,
)
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.database import Database
from secondread.service.store.jobs import enqueue, now
from secondread.service.store.tables import Instance, Reading, Result, Study

Receive = Callable[..., Received]


@pytest.fixture
def receive(database: Database, spool: Spool, settings: ServiceSettings) -> Receive:
    def received(data: bytes, sender: str = "MODALITY", **changed: object) -> Received:
        changed_settings = settings.model_copy(
            update={"receive": settings.receive.model_copy(update=changed)}
        )
        return receive_instance(database, spool, changed_settings, data, sender)

    return received


def study_of(database: Database, uid: str = "1.2.3.1") -> Study:
    with database.read() as session:
        return session.scalars(select(Study).where(Study.study_uid == uid)).one()


def rows(database: Database) -> list[Instance]:
    with database.read() as session:
        return list(session.scalars(select(Instance).order_by(Instance.id)))


def files(spool: Spool) -> list[Path]:
    return [path for path in spool.folder.rglob("*") if path.is_file() and "sqlite" not in path.name]


def test_what_is_acknowledged_lies_in_the_spool_with_its_facts(receive, database, spool):
    data = film(PatientAge="012Y", StationName="ROOM 1", ImageLaterality="L")
    assert receive(data).status == SUCCESS
    (row,) = rows(database)
    assert spool.path_of(row.path).read_bytes() == data
    assert (row.size, row.digest) == (len(data), hashlib.sha256(data).hexdigest())
    asked = {name: row.facts[name] for name in ("modality", "body_part", "view", "laterality", "age", "use")}
    assert asked == {
        "modality": "DX", "body_part": "CHEST", "view": "PA", "laterality": "L", "age": 12.0, "use": "image"
    }  # fmt: skip
    assert "ROOM" not in str(row.facts)
    study = study_of(database)
    assert (study.state, study.revision, study.instances) == ("receiving", 1, 1)
    assert (study.patient_name, study.patient_id, study.accession) == ("Doe^Jürgen", "P-4711", "A77")


def test_the_age_follows_from_dates_and_a_body_part_from_its_code(receive, database):
    region = pydicom.Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "51185008", "SCT", "Chest"
    receive(film(BodyPartExamined="", AnatomicRegionSequence=[region], StudyDate="20240101"))
    (row,) = rows(database)
    assert (row.facts["age"], row.facts["body_part"]) == (73.92, "CHEST")


def test_the_same_again_is_success_and_changes_nothing(receive, database, spool):
    data = film()
    before = receive(data), study_of(database).revision, files(spool)
    again = receive(data, "ANOTHER SENDER")
    assert again.status == SUCCESS
    assert (study_of(database).revision, files(spool)) == before[1:]


def test_another_file_meta_information_is_the_same_instance(receive, spool):
    data = film(uid="1.2.3.4")
    assert receive(data).status == SUCCESS
    other = data.replace(b"PYDICOM 3.0", b"MODALITY 1.")
    assert other != data
    assert receive(other).status == SUCCESS
    assert len(files(spool)) == 1


def test_another_object_of_the_same_uid_is_refused_and_the_first_stays(receive, database, spool):
    first = film(uid="1.2.3.4")
    receive(first)
    refused = receive(film(uid="1.2.3.4", PatientID="OTHER"))
    assert refused.status == ANOTHER_IS_HERE
    (row,) = rows(database)
    assert spool.path_of(row.path).read_bytes() == first
    assert len(files(spool)) == 1


def test_an_instance_whose_file_was_removed_is_taken_in_anew(receive, database, spool):
    data = film(uid="1.2.3.4")
    receive(data)
    spool.remove(rows(database)[0].path)
    assert receive(data).status == SUCCESS
    assert spool.has(rows(database)[0].path)
    assert study_of(database).revision == 2


def test_a_late_image_opens_a_study_again(receive, database):
    receive(film())
    with database.write() as session:
        session.scalars(select(Study)).one().state = "read"
    receive(film())
    study = study_of(database)
    assert (study.state, study.revision, study.instances) == ("receiving", 2, 2)


@pytest.mark.parametrize("made", ["report", "returned result"])
def test_what_is_no_image_is_kept_and_asks_for_no_reading(made, receive, database):
    receive(film())
    with database.write() as session:
        session.scalars(select(Study)).one().state = "read"
    own = {"Manufacturer": "secondread", "SeriesDescription": "secondread overlay (research use)"}
    assert receive(report() if made == "report" else film(**own)).status == SUCCESS
    study = study_of(database)
    assert (study.state, study.revision, study.instances) == ("read", 1, 2)
    assert rows(database)[1].facts["use"] == ("no image" if made == "report" else "result")


def test_a_result_that_is_here_already_is_acknowledged_and_not_kept_twice(receive, database, spool):
    receive(film())
    with database.write() as session:
        reading = Reading(
            study_id=1, revision=1, bundle="b", bundle_digest="d", at=now(), score=1.0, p_value=0.5
        )
        session.add(reading)
        session.flush()
        session.add(Result(reading_id=reading.id, sop_instance_uid="1.2.9", sop_class_uid="1", path="x"))
    own = {"Manufacturer": "secondread", "SeriesDescription": "secondread report (research use)"}
    assert receive(film(uid="1.2.9", **own)).status == SUCCESS
    assert len(rows(database)) == len(files(spool)) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a" * 100,
        film()[:300],
        film(StudyInstanceUID="../../etc"),
        film(SOPInstanceUID=""),
        film().replace(b"\x08\x00\x60\x00CS\x02\x00", b"\x08\x00\x60\x00UN\x00\x00\xff\xff\xff\x7f"),
    ],
    ids=["empty", "picture", "cut", "path", "no uid", "an element of 2 GB"],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused_and_leaves_nothing(data, receive, database, spool):
    refused = receive(data)
    assert refused.status == CANNOT_UNDERSTAND
    assert not any(name in refused.reason for name in (*NAMES, "etc"))
    assert rows(database) == files(spool) == []


def test_a_full_disk_and_a_full_queue_are_out_of_resources(receive, database, spool):
    assert receive(film(), free_gb=1e6).reason == "the disk is full"
    assert receive(film(), largest_gb=1e-7).status == OUT_OF_RESOURCES
    assert rows(database) == files(spool) == []
    receive(film())
    with database.write() as session:
        enqueue(session, "score", "1:1")
    assert receive(film("1.2.3.2"), queue=1).reason == "the queue is full"
    assert receive(film("1.2.3.1"), queue=1).status == SUCCESS, "a study that has begun is let in whole"


def test_without_a_database_nothing_is_acknowledged(receive, database, spool):
    with database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE instance RENAME TO elsewhere")
    assert receive(film()).status == OUT_OF_RESOURCES


def test_many_at_once_are_each_kept_once(database, spool, settings):
    from secondread.images.dicom.dataset import quiet_pydicom
    from secondread.service.intake.group_commit import GroupCommit
    from secondread.service.intake.header import read_header
    from secondread.service.intake.receive import Door
    from secondread.service.intake.room import Room

    sent = [film(f"1.2.3.{number % 3}", f"1.2.4.{number}") for number in range(12)] * 2
    statuses = []
    with quiet_pydicom(), GroupCommit(database, spool) as committed:
        door = Door(spool, Room(database, spool, settings), settings, committed)

        def send(data: bytes) -> None:
            from io import BytesIO

            statuses.append(door.take(lambda: read_header(BytesIO(data)), BytesIO(data), "M").status)

        threads = [threading.Thread(target=send, args=(data,)) for data in sent]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert statuses == [SUCCESS] * 24
    assert len(rows(database)) == len(files(spool)) == 12
    assert sorted(study_of(database, f"1.2.3.{number}").revision for number in range(3)) == [4, 4, 4]


def test_an_image_of_another_patient_is_known_as_such_and_names_the_study_nothing(receive, database):
    assert receive(film(PatientID="", PatientName="")).status == SUCCESS
    assert receive(film(PatientID="4711", PatientName="Doe^Jane")).status == SUCCESS
    assert receive(film(PatientID="4712", PatientName="Roe^Rita", AccessionNumber="B1")).status == SUCCESS
    assert receive(film(PatientID="4711", PatientName="Doe^Jane")).status == SUCCESS
    assert [row.facts.get("other_patient") for row in rows(database)] == [None, None, "4712", None]
    study = study_of(database)
    assert (study.patient_id, study.patient_name) == ("4711", "Doe^Jane")
