"""What leaves after a reading: once for each place, the urgent first."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
import yaml
from sqlalchemy import select

from secondread.service.settings.sending import SendingSettings
from secondread.service.store.alarms import close_alarm, open_alarm
from secondread.service.store.database import Database
from secondread.service.store.jobs import claim, now
from secondread.service.store.orders import order_delivery
from secondread.service.store.tables import Alarm, Job, Reading, Study, Table

SENDING = SendingSettings.model_validate(
    {
        "dicom": [{"name": "pacs", "title": "PACS", "address": "127.0.0.1"}],
        "web": [{"name": "flagged", "url": "http://127.0.0.1/dicom-web", "flagged_only": True}],
        "webhooks": [{"name": "hook", "url": "http://127.0.0.1/hook"}],
        "mail": {"server": "127.0.0.1", "sender": "a@example.org", "to": ["b@example.org"]},
        "hl7": [{"name": "ris", "address": "127.0.0.1", "port": 2575}],
    }
)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = Database(f"sqlite:///{tmp_path / 'service.sqlite'}")
    Table.metadata.create_all(found.engine)
    return found


def ordered(database: Database, sending: SendingSettings = SENDING, **of_reading: object) -> list[str]:
    with database.write() as session:
        study = Study(study_uid="1.2", state="read", first_received=now(), last_received=now())
        session.add(study)
        session.flush()
        values = {"flagged": False, "p_value": 0.5, "shadow": False, **of_reading}
        reading = Reading(
            study_id=study.id, revision=1, bundle="chest", bundle_digest="d", at=now(), **values
        )
        session.add(reading)
        session.flush()
        first = order_delivery(session, sending, reading)
        assert order_delivery(session, sending, reading) == 0
        jobs = session.scalars(select(Job).order_by(Job.id)).all()
        assert len(jobs) == first
        return [f"{job.kind} {job.payload['destination']}{' urgent' * job.urgent}" for job in jobs]


def test_a_flagged_study_goes_everywhere_and_people_hear_first(database: Database) -> None:
    names = ["tell hook", "tell mail", "tell ris", "send pacs", "send flagged"]
    assert ordered(database, flagged=True) == [f"{name} urgent" for name in names]


def test_a_study_without_a_flag_wakes_nobody(database: Database) -> None:
    assert ordered(database) == ["tell ris", "send pacs"]


def test_what_is_urgent_may_be_rarer_than_what_is_flagged(database: Database) -> None:
    rare = SENDING.model_copy(update={"urgent_p": 0.001})
    assert ordered(database, rare, flagged=True, p_value=0.01) == ["tell ris", "send pacs", "send flagged"]


def test_a_shadow_sends_nothing(database: Database) -> None:
    assert ordered(database, flagged=True, shadow=True) == []


def test_jobs_are_claimed_by_destination(database: Database) -> None:
    ordered(database, flagged=True)
    for name in ("pacs", "hook"):
        only = Job.payload["destination"].as_string() == name
        taken = claim(database, ["send", "tell"], "w", only)
        assert taken is not None
        assert taken.payload["destination"] == name
        assert claim(database, ["send", "tell"], "w", only) is None


def test_an_alarm_is_one_row_until_it_is_over(database: Database) -> None:
    with database.write() as session:
        assert open_alarm(session, "destination away", "pacs", "since one") is True
        assert open_alarm(session, "destination away", "pacs", "since two") is False
        assert open_alarm(session, "destination away", "ris", "since one") is True
        assert close_alarm(session, "destination away", "pacs") is True
        assert close_alarm(session, "destination away", "pacs") is False
        assert open_alarm(session, "destination away", "pacs", "again") is True
        rows = session.scalars(select(Alarm).order_by(Alarm.id)).all()
    told = [(row.about, row.text, row.count, row.closed is None) for row in rows]
    assert told == [
        ("pacs", "since two", 2, False), ("ris", "since one", 1, True), ("pacs", "again", 1, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("web", {"name": "a", "url": "http://pacs/dicom-web", "token_file": "t"}, "https"),
        ("webhooks", {"name": "a", "url": "ftp://pacs/hook"}, "https"),
        ("webhooks", {"name": "a", "url": "https://me:secret@pacs/hook"}, "file"),
        ("webhooks", {"name": "a/b", "url": "https://pacs/hook"}, "pattern"),
    ],
)
def test_a_destination_that_would_give_a_secret_away_is_refused(part: str, value: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SendingSettings.model_validate({part: [value]})


def test_files_of_destinations_lie_beside_the_configuration(tmp_path: Path) -> None:
    given = SendingSettings.model_validate(
        {
            "web": [{"name": "a", "url": "https://pacs/dicom-web", "token_file": "t", "authority": "/ca"}],
            "dicom": [{"name": "b", "title": "B", "address": "b", "tls": {"certificate": "c", "key": "k"}}],
        }
    )
    found = given.beside(tmp_path)
    assert found.web[0].token_file == tmp_path / "t"
    assert found.web[0].authority == Path("/ca")
    assert found.dicom[0].tls is not None
    assert found.dicom[0].tls.key == tmp_path / "k"


def test_the_section_that_the_page_shows_is_valid() -> None:
    page = Path(__file__).parents[3] / "docs" / "service" / "sending.md"
    (block,) = re.findall(r"^    send:\n(?:     .*\n)+", page.read_text(encoding="utf-8"), re.MULTILINE)
    shown = SendingSettings.model_validate(yaml.safe_load(textwrap.dedent(block))["send"])
    assert shown.names == ["pacs", "research", "on-call", "ris", "mail"]
