"""Results reach their archives by C-STORE: each once, in order, whatever happens on the way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from free_ports import free_port
from listeners import Pacs
from sqlalchemy import update
from waiting import NAME, Waiting

from secondread.service.delivery.circuit import Circuit, pause
from secondread.service.delivery.lane import AWAY, NOT_TAKEN
from secondread.service.delivery.sender import run_sender
from secondread.service.settings.sending import SendingSettings
from secondread.service.store.jobs import now
from secondread.service.store.tables import Job
from secondread.service.store.workers import release_gone

SR, SC = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.7"


def to(pacs: Pacs, name: str = "pacs", **more: Any) -> dict[str, Any]:
    return {"name": name, "title": "PACS", "address": "127.0.0.1", "port": pacs.port, **more}


def test_many_readings_leave_in_order_over_one_association_with_only_the_contexts_they_need(
    tmp_path: Path,
) -> None:
    with Pacs().listening() as pacs:
        waiting = Waiting(tmp_path, {"dicom": [to(pacs)]})
        waiting.add(3, flagged=False)
        waiting.send_all()
    assert pacs.stored == waiting.uids
    assert pacs.proposed == [[SC, SR]]
    assert waiting.states() == ["done"] * 3


def test_a_destination_gets_the_kinds_it_wants(tmp_path: Path) -> None:
    with Pacs().listening() as pacs:
        waiting = Waiting(tmp_path, {"dicom": [to(pacs, objects=["report"])]})
        waiting.add()
        waiting.send_all()
    assert pacs.stored == waiting.uids[:1]
    assert pacs.proposed == [[SR]]


def test_an_archive_that_is_away_holds_up_nobody_and_gets_everything_once_when_it_is_back(
    tmp_path: Path,
) -> None:
    pacs = Pacs()
    with Pacs().listening() as other:
        waiting = Waiting(tmp_path, {"dicom": [to(pacs), to(other, "other")]})
        waiting.add(4, flagged=False)
        with waiting.sending():
            waiting.until(lambda: len(other.stored) == 8)
            waiting.until(lambda: "nobody listens there" in waiting.told())
            assert waiting.alarms() == [(AWAY, "pacs", True)]
            with pacs.listening():
                waiting.until(lambda: set(waiting.states()) == {"done"})
    assert pacs.stored == other.stored == waiting.uids
    assert waiting.alarms() == [(AWAY, "pacs", False)]
    assert NAME not in waiting.told()
    assert {job.tries for job in waiting.jobs()} == {1}, "no job was at fault"


@pytest.mark.parametrize("status", [0xA700, 0x0110])
def test_an_archive_out_of_resources_is_asked_again(tmp_path: Path, status: int) -> None:
    with Pacs(answers=[0x0000, status, 0x0000]).listening() as pacs:
        waiting = Waiting(tmp_path, {"dicom": [to(pacs)]})
        waiting.add()
        waiting.send_all()
    assert pacs.stored == waiting.uids, "what was stored is not sent again"
    assert waiting.jobs()[0].tries == 2


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0xC000, "cannot understand"),
        (0xA900, "does not match"),
        (0x0122, "not supported"),
        (0x0124, "not auth"),
    ],
)
def test_what_an_archive_refuses_is_set_aside_with_the_reason_and_the_rest_goes_on(
    tmp_path: Path, status: int, said: str
) -> None:
    with Pacs(answers=[status, 0x0000]).listening() as pacs:
        waiting = Waiting(tmp_path, {"dicom": [to(pacs)]})
        waiting.add(2, flagged=False)
        waiting.send_all()
    assert pacs.stored == waiting.uids[1:]
    assert waiting.states() == ["set aside", "done"]
    assert said in waiting.reasons()[0]
    assert "report" in waiting.reasons()[0]
    assert waiting.alarms() == [(NOT_TAKEN, "pacs", True)]


def test_a_warning_and_an_object_that_is_there_already_are_success(tmp_path: Path) -> None:
    with Pacs(answers=[0xB000, 0x0111]).listening() as pacs:
        waiting = Waiting(tmp_path, {"dicom": [to(pacs)]})
        waiting.add()
        waiting.send_all()
    assert waiting.states() == ["done"]


def test_a_kind_that_the_archive_takes_no_context_for_does_not_keep_the_others(tmp_path: Path) -> None:
    with Pacs(kinds=(SR,)).listening() as pacs:
        waiting = Waiting(tmp_path, {"dicom": [to(pacs)]})
        waiting.add()
        waiting.add(kinds=("SC",))
        waiting.send_all()
    assert pacs.stored == waiting.uids[:1]
    assert waiting.states() == ["set aside"] * 2
    assert "overlay: the archive takes no such object" in waiting.reasons()[0]


def test_a_wrong_title_is_told_and_mended_without_loss(tmp_path: Path) -> None:
    pacs = Pacs(title="OTHER")
    waiting = Waiting(tmp_path, {"dicom": [to(pacs)]})
    waiting.add()
    with waiting.sending():
        with pacs.listening():
            waiting.until(lambda: "called ae title not recognised" in waiting.told())
        pacs.title = "PACS"
        with pacs.listening():
            waiting.until(lambda: waiting.states() == ["done"])
    assert pacs.stored == waiting.uids


def test_a_connection_that_breaks_in_an_object_loses_and_doubles_nothing(tmp_path: Path) -> None:
    broken: list[str] = []

    def abort_once(event: Any) -> None:
        if len(pacs.stored) == 1 and not broken:
            broken.append(str(event.request.AffectedSOPInstanceUID))
            event.assoc.abort()

    pacs = Pacs(on_store=abort_once)
    waiting = Waiting(tmp_path, {"dicom": [to(pacs)]})
    waiting.add(2, flagged=False)
    with pacs.listening():
        waiting.send_all()
    assert broken == waiting.uids[1:2]
    assert sorted(set(pacs.stored)) == sorted(waiting.uids)
    assert pacs.stored.count(waiting.uids[0]) == 1, "what was stored is not sent again"
    assert waiting.states() == ["done"] * 2


def _in_a_process(settings: Any) -> None:
    run_sender(settings, threading.Event())


def test_a_sender_killed_between_store_and_commit_sends_the_same_objects_again(tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_once(_: object) -> None:
        if not killed and pacs.stored:
            killed.append(process.pid or 0)
            os.kill(killed[0], signal.SIGKILL)

    pacs = Pacs(on_store=kill_once)
    with pacs.listening():
        waiting = Waiting(tmp_path, {"dicom": [to(pacs)]})
        waiting.add(2, flagged=False)
        process = multiprocessing.get_context("spawn").Process(target=_in_a_process, args=(waiting.settings,))
        process.start()
        process.join(60)
        assert killed, "it was killed while its second object was stored"
        assert waiting.states()[0] == "running"
        assert release_gone(waiting.database) == 1
        waiting.send_all()
    assert sorted(set(pacs.stored)) == sorted(waiting.uids)
    assert pacs.stored.count(waiting.uids[0]) == 2, "an archive recognises it by its UID"
    assert waiting.states() == ["done"] * 2


def test_what_could_not_be_sent_for_too_long_is_set_aside(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path, {"dicom": [to(Pacs())], "give_up_days": 1})
    waiting.add(2, flagged=False)
    with waiting.database.write() as session:
        session.execute(update(Job).where(Job.id == 2).values(created=now() - timedelta(days=2)))
    with waiting.sending():
        waiting.until(lambda: waiting.states()[1] == "set aside")
    assert waiting.states()[0] == "waiting"
    assert "given up: " in waiting.reasons()[1]
    assert (NOT_TAKEN, "pacs", True) in waiting.alarms()


def test_a_destination_that_is_configured_no_more_keeps_nothing_waiting(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path, {"dicom": [to(Pacs(), "old_pacs")]})
    waiting.add()
    waiting.settings = waiting.settings.model_copy(update={"send": SendingSettings()})
    waiting.send_all()
    assert waiting.states() == ["set aside"]


def test_a_result_that_is_gone_is_told(tmp_path: Path) -> None:
    with Pacs().listening() as pacs:
        waiting = Waiting(tmp_path, {"dicom": [to(pacs)]})
        waiting.add()
        for path in waiting.spool.readings.rglob("SR.dcm"):
            path.unlink()
        waiting.send_all()
    assert waiting.states() == ["set aside"]
    assert "cannot be read in the spool" in waiting.reasons()[0]


def test_an_archive_is_reached_by_tls_with_certificates_of_both_sides_that_are_valid(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    mine = authority.issue_cert("secondread.example")
    mine.private_key_and_cert_chain_pem.write_to_path(tmp_path / "mine.pem")
    tls = dict.fromkeys(("certificate", "key"), tmp_path / "mine.pem") | {"authority": tmp_path / "ca.pem"}
    port = free_port()

    def pacs_with(certificate: trustme.LeafCert) -> Pacs:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
        certificate.configure_cert(context)
        return Pacs(port=port, tls=context)

    expired = pacs_with(authority.issue_cert("127.0.0.1", not_after=datetime.now(UTC) - timedelta(days=1)))
    valid = pacs_with(authority.issue_cert("127.0.0.1"))
    waiting = Waiting(tmp_path, {"dicom": [to(valid, tls=tls)]})
    waiting.add()
    with waiting.sending():
        with expired.listening():
            waiting.until(lambda: "certificate has expired" in waiting.told())
        with valid.listening():
            waiting.until(lambda: waiting.states() == ["done"])
    assert (expired.stored, valid.stored) == ([], waiting.uids)


def test_pauses_double_up_to_their_limit_and_end_with_a_success() -> None:
    sending = SendingSettings(retry_s=1, longest_retry_s=60)
    for failures in range(1, 200):
        whole = min(60, 2 ** (failures - 1))
        assert all(whole / 2 <= pause(sending, failures) <= whole for _ in range(5))
    time = 100.0
    circuit = Circuit(sending, clock=lambda: time)
    for _ in range(8):
        circuit.failed()
    assert 30 <= circuit.wait_s <= 60
    circuit.failed(at_least_s=1e9)
    assert circuit.wait_s == 60, "a destination that asks for years is asked again before"
    time += 7
    assert circuit.away_s == 7
    circuit.succeeded()
    assert (circuit.wait_s, circuit.away_s) == (0, 0)
