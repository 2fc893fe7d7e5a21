"""Drift of a service's readings: what opens an alarm, and what closes it."""

from __future__ import annotations

import json

from sqlalchemy import select

from secondread.service.store.alarms import close_alarm
from secondread.service.store.database import Database
from secondread.service.store.tables import Alarm, Study
from secondread.service.watching.streams import FILE, KIND, Streams, read_streams


def alarms(database: Database) -> list[Alarm]:
    with database.read() as session:
        return list(session.scalars(select(Alarm).where(Alarm.kind == KIND).order_by(Alarm.id)))


def test_a_scanner_that_shifts_is_told_and_the_other_is_not(settings, database, fill) -> None:
    fill(150)
    fill(150, scanner="b2")
    streams = Streams(settings, spare=0)
    assert streams.go_on(database) == 0
    fill(60, mean=2.0, scanner="b2")
    assert (
        Streams(settings, spare=0).go_on(database) >= 1
    )  # a keeper that begins goes on where the last one was
    found = alarms(database)
    assert {alarm.about.partition(":")[0] for alarm in found} == {"chest dddddddd, scanner b2"}
    assert "scores are higher than before" in found[0].text
    assert "secondread calibrate chest MANIFEST" in found[0].remedy
    assert {one["watch"]["studies"] for one in read_streams(settings.spool).values()} == {150, 210}


def test_gone_on_in_steps_or_at_once_the_alarms_are_the_same(settings, database, fill) -> None:
    fill(100)
    fill(80, mean=1.5)
    Streams(settings, spare=0).go_on(database)
    whole = [(alarm.about, alarm.text) for alarm in alarms(database)]
    kept = (settings.spool / FILE).read_text()
    (settings.spool / FILE).write_text("{damaged")
    assert Streams(settings, spare=0).go_on(database) == 0  # from the beginning; the rows are there
    assert (settings.spool / FILE).read_text() == kept
    assert [(alarm.about, alarm.text) for alarm in alarms(database)] == whole != []


def test_a_patient_counts_once_and_no_patient_is_kept(settings, database, fill) -> None:
    fill(3)
    with database.write() as session:
        for study in session.scalars(select(Study)):
            study.patient_id = "ZF-same"
    Streams(settings, spare=0).go_on(database)
    assert [one["watch"]["studies"] for one in read_streams(settings.spool).values()] == [1]
    text = (settings.spool / FILE).read_text()
    assert "ZF" not in text
    assert "Zwiebelfisch" not in text
    json.loads(text)


def test_an_alarm_that_a_person_closes_makes_the_new_state_the_reference(settings, database, fill) -> None:
    fill(120)
    fill(30, mean=2.5)
    streams = Streams(settings, spare=0)
    assert streams.go_on(database) >= 1
    with database.write() as session:
        for alarm in alarms(database):
            close_alarm(session, KIND, alarm.about)
    fill(60, mean=2.5)
    assert streams.go_on(database) == 0
    assert all(alarm.closed is not None for alarm in alarms(database))


def test_a_new_calibration_closes_what_was_told_of_the_former(settings, database, fill) -> None:
    fill(120)
    fill(40, mean=2.5)
    streams = Streams(settings, spare=0)
    assert streams.go_on(database) >= 1
    fill(5, mean=2.5, digest="e" * 64)
    streams.go_on(database)
    streams.go_on(database)
    assert all(alarm.closed is not None for alarm in alarms(database))


def test_shadows_are_not_watched(settings, database, fill) -> None:
    fill(5, shadow=True)
    Streams(settings, spare=0).go_on(database)
    assert read_streams(settings.spool) == {}
