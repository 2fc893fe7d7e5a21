"""The monthly report."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner
from watched import BEGIN

from secondread.cli.main import app
from secondread.errors import UserError
from secondread.service.store.alarms import open_alarm
from secondread.service.store.jobs import enqueue
from secondread.service.store.tables import Alarm, Job, Reading, Verdict
from secondread.service.watching.month import month_of, span_of
from secondread.service.watching.months_due import write_months
from secondread.service.watching.streams import Streams


@pytest.fixture
def october(settings, database, fill):
    """60 studies, the last 20 higher and of another scanner; a shadow on the first 10, verdicts on four."""
    studies = fill(40) + fill(20, mean=2.0, scanner="b2")
    Streams(settings, spare=0).go_on(database)
    with database.write() as session:
        shown = {row.study_id: row for row in session.scalars(select(Reading))}
        for study in studies[:10]:
            known = shown[study]
            tried = {"score": 2 * known.score, "flagged": not known.flagged, "at": known.at, "worst": ""}
            tried["facts"] = {"beside": "chest"}
            key = {"study_id": study, "revision": 1, "bundle": "tried", "bundle_digest": "f" * 64}
            session.add(Reading(**key, shadow=True, **tried))
        flagged = [row.study_id for row in shown.values() if row.flagged][:2]
        calm = [row.study_id for row in shown.values() if not row.flagged][:2]
        for number, study in enumerate([*flagged, *calm]):
            for person in ("anna", "ben")[: 1 + number % 2]:
                bad = study == flagged[0]
                agrees = bad == shown[study].flagged
                session.add(
                    Verdict(
                        study_id=study,
                        person=person,
                        agrees=agrees,
                        abnormal=bad,
                        comment="Zwiebelfisch",
                        at=BEGIN,
                    )
                )
        enqueue(session, "send", f"{studies[0]}:pacs", study_id=studies[0])
        open_alarm(session, "disk", "spool", "less than 1 GB are free", "free space")
    with database.write() as session:
        for job in session.scalars(select(Job)):
            job.state, job.created, job.ended = "done", BEGIN, BEGIN + timedelta(seconds=90)
        for alarm in session.scalars(select(Alarm)):
            alarm.opened = BEGIN
    return month_of(database, settings, "2026-10")


def test_a_month_in_figures(october) -> None:
    assert (october.studies, october.states) == (60, {"read": 60})
    flags = october.flags[0]
    assert (flags.bundle, flags.studies, flags.rates) == ("chest", 60, (0.05,))
    assert flags.interval[0] < flags.share < flags.interval[1]
    pair = october.shadows[0]
    assert (pair.bundle, pair.shadow, pair.studies) == ("chest", "tried", 10)
    assert pair.correlation == pytest.approx(1)
    assert pair.both == 0
    assert pair.shown_alone + pair.shadow_alone == 10
    said = october.agreement
    assert (said.verdicts, said.people, said.pairs, said.alike) == (6, 2, 2, 2)
    assert (said.flagged, said.unflagged) == ((1, 1), (0, 2))
    assert said.false_alarms[0] == pytest.approx(1 / 3)
    delays = {delay.stage: delay for delay in october.delays}
    assert delays["last image received to reading there"].median == pytest.approx(60)
    assert delays["reading there to delivered"].longest == pytest.approx(90)
    assert october.delivered == {("pacs", "done"): 1}
    assert [(one.scanner, one.studies) for one in october.drift] == [("a1", 40), ("b2", 20)]
    assert "disk" in [alarm.kind for alarm in october.alarms]


def test_another_month_is_empty_and_no_month_is_refused(october, settings, database) -> None:
    empty = month_of(database, settings, "2026-01")
    assert (empty.studies, empty.flags, empty.drift, empty.agreement.verdicts) == (0, (), (), 0)
    for text in ("2026-13", "october", "2026-1"):
        with pytest.raises(UserError, match="no month"):
            span_of(text)


def test_the_command_writes_a_page_that_loads_nothing_and_names_nobody(
    october, settings, tmp_path: Path
) -> None:
    config = tmp_path / "service.yaml"
    config.write_text(f"spool: {settings.spool}\nbundles: [{{name: chest, bundle: chest}}]\n")
    page = tmp_path / "october.html"
    done = CliRunner().invoke(app, ["service", "report", str(config), "--month", "2026-10", "-o", str(page)])
    assert done.exit_code == 0, done.output
    text, found = page.read_text(), json.loads(page.with_suffix(".json").read_text())
    assert found["flags"][0]["studies"] == 60
    assert [one["scanner"] for one in found["drift"]] == ["a1", "b2"]
    assert text.count("<svg") == 2
    for written in (text, json.dumps(found)):
        assert not re.search(r"Zwiebelfisch|Xaver|ZF-|2\.25\.|anna", written)
    assert not re.search(r"(src|href)=\"(https?:)?//|<script|<link", text)
    assert CliRunner().invoke(app, ["service", "alarms", str(config)]).exit_code == 1
    number = CliRunner().invoke(app, ["service", "alarms", str(config)]).stdout.split("\t")[0]
    done = CliRunner().invoke(app, ["service", "alarms", str(config), "--close", number])
    assert done.exit_code == 0
    assert not done.stdout.startswith(f"{number}\t")
    again = CliRunner().invoke(app, ["service", "alarms", str(config), "--close", number])
    assert (again.exit_code, "no alarm" in again.output) == (2, True)


def test_reports_of_months_that_are_over_are_written_once(settings, database, fill, monkeypatch) -> None:
    fill(2)
    monkeypatch.setattr("secondread.service.watching.months_due.now", lambda: BEGIN + timedelta(days=65))
    assert write_months(database, settings) == 2
    assert sorted(path.name for path in (settings.spool / "reports").iterdir()) == [
        "2026-10.html", "2026-10.json", "2026-11.html", "2026-11.json",
    ]  # fmt: skip
    assert write_months(database, settings) == 0
