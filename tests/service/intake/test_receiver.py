"""The storage SCP, asked by real SCUs."""

from __future__ import annotations

import logging
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from io import BytesIO

import pydicom
import pytest
from intake_instances import NAMES, film, report
from pynetdicom import evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance
from receiving import caller, parsed, receiving, refusal, send
from sqlalchemy import delete, select

from secondread.service.intake import room
from secondread.service.intake.receiver import Receiver
from secondread.service.settings.receiving import Peer
from secondread.service.store.jobs import enqueue
from secondread.service.store.tables import Instance, Job, Study

STORESCU = "/usr/bin/storescu"


@pytest.fixture
def receiver(settings) -> Iterator[Receiver]:
    with receiving(settings) as started:
        yield started


def rows(database) -> list[Instance]:
    with database.read() as session:
        return list(session.scalars(select(Instance).order_by(Instance.id)))


def settle(receiver: Receiver) -> None:
    end = time.monotonic() + 60
    while receiver.listener.active:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_is_acknowledged_is_the_object_that_was_sent(receiver, database, spool):
    sent = [film(), report(), film("1.2.3.2", PatientName="Ångström^Åsa")]
    assert send(receiver, *sent) == [0, 0, 0]
    kept = rows(database)
    assert [row.sender for row in kept] == ["MODALITY"] * 3
    for row, file in zip(kept, sent, strict=True):
        assert pydicom.dcmread(spool.path_of(row.path)) == parsed(file)
        assert spool.path_of(row.path).stat().st_size == row.size
    assert list(spool.incoming.iterdir()) == []


def test_echo_and_the_same_again(receiver, database):
    association = caller(receiver)
    assert association.send_c_echo().Status == 0
    association.release()
    one = film()
    assert send(receiver, one, one) + send(receiver, one) == [0, 0, 0]
    assert len(rows(database)) == 1


@pytest.mark.skipif(shutil.which(STORESCU) is None, reason="dcmtk is not installed")
def test_dcmtk_sends_compressed_images_as_they_are(receiver, database, spool, shared_data, tmp_path):
    names = ("JPEG2000.dcm", "SC_rgb_rle.dcm", "examples_jpeg2k.dcm", "JPEG-LL.dcm", "CT_small.dcm")
    zoo = shared_data / "dicom-zoo" / "pydicom"
    found = [path for name in names if (path := zoo / f"src__pydicom__data__test_files__{name}").is_file()]
    assert found
    for path in found:
        command = [STORESCU, "-aec", "SECONDREAD", "-xf", str(tmp_path / "all.cfg"), "All"]
        syntax = pydicom.dcmread(path, stop_before_pixels=True).file_meta
        (tmp_path / "all.cfg").write_text(
            "[[TransferSyntaxes]]\n[One]\nTransferSyntax1 = " + str(syntax.TransferSyntaxUID) + "\n"
            "[[PresentationContexts]]\n[Contexts]\nPresentationContext1 = "
            + str(syntax.MediaStorageSOPClassUID)
            + "\\One\n[[Profiles]]\n[All]\nPresentationContexts = Contexts\n"
        )
        done = subprocess.run(
            [*command, "127.0.0.1", str(receiver.port), str(path)], capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
    kept = rows(database)
    assert len(kept) == len(found)
    for row, path in zip(kept, found, strict=True):
        assert pydicom.dcmread(spool.path_of(row.path)).PixelData == pydicom.dcmread(path).PixelData


@pytest.mark.parametrize(
    ("title", "called", "reason"),
    [("MODALITY", "WRONG", 7), ("STRANGER", "SECONDREAD", 3), ("PACS", "SECONDREAD", 3)],
)
def test_a_wrong_title_or_address_is_rejected_with_its_reason(title, called, reason, settings, caplog):
    caplog.set_level(logging.WARNING, "secondread")
    peers = (Peer(title="MODALITY", address="localhost"), Peer(title="PACS", address="192.0.2.1"))
    with receiving(settings, peers=peers) as receiver:
        assert refusal(receiver, title=title, called=called) == (1, 1, reason)
        assert send(receiver, film()) == [0]
    assert [record.message for record in caplog.records] == ["association rejected"]


def test_associations_beyond_the_limit_are_refused_for_the_moment(settings, database):
    with receiving(settings, associations=2) as receiver:
        held = [caller(receiver) for _ in range(2)]
        assert {refusal(receiver) for _ in range(20)} == {(2, 3, 2)}
        for one in held:
            one.release()
        settle(receiver)
        assert send(receiver, film()) == [0]
    assert len(rows(database)) == 1


def test_an_association_that_breaks_off_is_told_and_one_that_ends_is_not(receiver, database, caplog):
    caplog.set_level(logging.WARNING, "secondread")
    assert send(receiver, film()) == [0]
    association = caller(receiver, [film()])
    association.abort()
    settle(receiver)
    assert [record.message for record in caplog.records] == ["association broken off"]


def test_a_full_disk_is_out_of_resources_and_nothing_stays(settings, database, spool, caplog):
    with receiving(settings, free_gb=1e6) as receiver:
        association = caller(receiver, [film()])
        answer = association.send_c_store(parsed(film()))
        association.release()
    assert (answer.Status, answer.ErrorComment) == (0xA700, "the disk is full")
    assert rows(database) == list(spool.incoming.iterdir()) == []


def test_a_full_queue_takes_no_new_study_until_one_was_read(settings, database, monkeypatch):
    monkeypatch.setattr(room, "LOOKED_FOR_S", 0.0)
    with receiving(settings, queue=1) as receiver:
        assert send(receiver, film("1.2.3.1")) == [0]
        with database.write() as session:
            enqueue(session, "score", "1:1")
        association = caller(receiver, [film("1.2.3.2")])
        answer = association.send_c_store(parsed(film("1.2.3.2")))
        assert (answer.Status, answer.ErrorComment) == (0xA700, "the queue is full")
        assert association.send_c_store(parsed(film("1.2.3.1", SOPInstanceUID="1.2.3.1.9"))).Status == 0
        with database.write() as session:
            session.execute(delete(Job))
        assert association.send_c_store(parsed(film("1.2.3.2"))).Status == 0
        association.release()
    assert len(rows(database)) == 3


def test_an_instance_that_is_too_large_is_passed_over(settings, spool):
    with receiving(settings, largest_gb=1e-4) as receiver:
        large = film(PixelData=b"\0" * 400_000, Rows=400, Columns=500)
        assert send(receiver, large, film()) == [0xA700, 0]
    assert list(spool.incoming.iterdir()) == []


def test_while_the_database_is_away_nothing_is_acknowledged(receiver, database, spool):
    with database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE instance RENAME TO elsewhere")
    one = film()
    assert send(receiver, one) == [0xA700]
    with database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO instance")
    assert send(receiver, one) == [0]
    assert len(rows(database)) == 1


def test_an_object_that_is_not_the_one_named_is_refused(receiver, database):
    association = caller(receiver, [film()])
    sent = parsed(film())
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = 1, 0
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = sent.SOPClassUID, "1.2.3.9"
    primitive.DataSet = BytesIO(encode(sent, False, True))
    association._reactor_checkpoint.clear()
    context = association.accepted_contexts[0]
    association.dimse.send_msg(primitive, context.context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    association.release()
    assert answer.Status == 0xA900
    assert rows(database) == []


def test_an_association_that_breaks_off_leaves_nothing(receiver, database, spool):
    with socket.create_connection(("127.0.0.1", receiver.port)) as broken:
        broken.sendall(b"\x01\x00\x00\x00\x10\x00")
    with socket.create_connection(("127.0.0.1", receiver.port)) as broken:
        broken.sendall(b"GET / HTTP/1.1\r\n\r\n")
    association = caller(receiver, [film()])
    association.abort()
    settle(receiver)
    assert send(receiver, film()) == [0]
    assert list(spool.incoming.iterdir()) == []


def test_no_line_of_the_log_says_who_the_patient_is(settings, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with receiving(settings) as receiver:
        send(
            receiver, film(uid="1.2.3.4"), film(uid="1.2.3.4", PatientID="4711X"), film(StudyInstanceUID="x")
        )
    told = [str(vars(record)) for record in caplog.records if not record.name.startswith("pynetdicom")]
    # pynetdicom's lines here are those of the sender
    assert any("instance refused" in line for line in told)
    for line in (*told, *capfd.readouterr()):
        assert not any(name in line for name in NAMES)


def commitment(uids: list[tuple[str, str]]) -> pydicom.Dataset:
    asked = pydicom.Dataset()
    asked.TransactionUID = pydicom.uid.generate_uid()
    asked.ReferencedSOPSequence = []
    for sop_class, uid in uids:
        item = pydicom.Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        asked.ReferencedSOPSequence.append(item)
    return asked


def ask(receiver, uids, handlers) -> None:
    association = caller(receiver, also=[StorageCommitmentPushModel], evt_handlers=handlers)
    status, _ = association.send_n_action(
        commitment(uids), 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    assert status.Status == 0
    wait_for(association)
    association.release()


def wait_for(association) -> None:
    end = time.monotonic() + 60
    while not getattr(association, "answered", False) and time.monotonic() < end:
        time.sleep(0.02)


def test_commitment_is_said_of_what_is_here_and_completes_the_study(receiver, database):
    one = film()
    send(receiver, one)
    known = (str(parsed(one).SOPClassUID), str(parsed(one).SOPInstanceUID))
    told: list[tuple[int, pydicom.Dataset]] = []

    def report_of(event: evt.Event) -> int:
        told.append((event.event_type, event.event_information))
        event.assoc.answered = True
        return 0

    handlers = [(evt.EVT_N_EVENT_REPORT, report_of)]
    ask(receiver, [known], handlers)
    ask(receiver, [known, (known[0], "1.2.3.9"), ("1.2.840.10008.5.1.4.1.1.2", known[1])], handlers)
    assert [kind for kind, _ in told] == [1, 2]
    assert [item.ReferencedSOPInstanceUID for item in told[1][1].ReferencedSOPSequence] == [known[1]]
    failed = [(item.ReferencedSOPInstanceUID, item.FailureReason) for item in told[1][1].FailedSOPSequence]
    assert failed == [("1.2.3.9", 0x0112), (known[1], 0x0119)]
    with database.read() as session:
        assert session.scalars(select(Study)).one().state == "waiting"
        assert session.scalars(select(Job.key).where(Job.kind == "score")).all() == ["1:1"]
