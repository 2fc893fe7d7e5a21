"""Studies that an archive has are fetched once, from a real Orthanc."""

from __future__ import annotations

from datetime import date

import pytest
from intake_instances import film
from receiving import receiving
from sqlalchemy import select

from secondread.errors import DataError, UserError
from secondread.service.intake.backfill import Archive, Asked, Pace, backfill, peer_named
from secondread.service.settings.receiving import Peer, ReceivingSettings
from secondread.service.store.jobs import enqueue
from secondread.service.store.tables import Instance, Job

ASKED = Asked(date(2031, 3, 1), date(2031, 3, 31), ("DX",))


@pytest.fixture
def studies(archive, tmp_path) -> list[str]:
    """Three of the days that are asked for, and one of another."""
    files = []
    for number, day in enumerate(("20310301", "20310331", "20310315", "20310401")):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(film(f"1.2.826.77.{number}", f"1.2.826.78.{number}", StudyDate=day))
        files.append(path)
    assert set(archive.send(files).values()) == {0}
    return [f"1.2.826.77.{number}" for number in (1, 2, 0)]


@pytest.fixture
def asked_settings(archive, settings):
    peer = Peer(title="ORTHANC", address="127.0.0.1", port=archive.server.dicom_port)
    return settings.model_copy(update={"receive": ReceivingSettings(port=0, free_gb=0.0, peers=(peer,))})


def senders(database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(Instance.sender)))


@pytest.mark.parametrize("by_get", [False, True], ids=["C-MOVE", "C-GET"])
def test_an_archive_is_emptied_once_and_goes_on_where_it_was(
    by_get, studies, archive, asked_settings, database, spool
):
    peer = peer_named(asked_settings, "ORTHANC")
    asking = Archive(asked_settings, peer, database, spool)
    assert [one.study_uid for one in asking.find(ASKED)] == studies
    noted: list[tuple[int, int]] = []
    with (
        receiving(asked_settings, peers=(peer,)) as receiver,
        archive.server.knowing("SECONDREAD", receiver.port),
    ):
        for expected in ((3, 0, 3, 0), (3, 3, 0, 0)):
            told = backfill(
                asking, database, ASKED, Pace(per_hour=1e9), by_get=by_get,
                note=lambda done, of: noted.append((done, of)),
            )  # fmt: skip
            assert (told.found, told.here, told.fetched, told.failed) == expected
    assert noted[:3] == [(1, 3), (2, 3), (3, 3)]
    assert senders(database) == ["backfill ORTHANC"] * 3


def test_it_waits_while_studies_wait_and_keeps_its_pace(studies, asked_settings, database, spool):
    asking = Archive(asked_settings, peer_named(asked_settings, "ORTHANC"), database, spool)
    with database.write() as session:
        enqueue(session, "score", "live")
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] >= 5:
            with database.write() as session:
                for job in session.scalars(select(Job)):
                    job.state = "done"

    told = backfill(
        asking, database, ASKED, Pace(per_hour=360, waiting=1), by_get=True, clock=lambda: now[0], sleep=sleep
    )
    assert told.fetched == 3
    assert now[0] >= 5 + 2 * 10


def test_an_archive_that_is_not_there_is_said(asked_settings, database, spool):
    gone = Peer(title="GONE", address="127.0.0.1", port=1)
    with pytest.raises(DataError, match=r"GONE at 127\.0\.0\.1:1 does not answer"):
        Archive(asked_settings, gone, database, spool).find(ASKED)
    with pytest.raises(UserError, match="names no PACS; it names ORTHANC"):
        peer_named(asked_settings, "PACS")
