"""While a study with a conspicuous patient passes through the service, nothing of it enters a log, an alarm
or a metric; and no call of the log in the service's code hands on what may hold it."""

from __future__ import annotations

import ast
import io
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from made_study import write_film
from sqlalchemy import select

import secondread.service
from secondread.service.intake.complete import QuietClock, complete_quiet_studies
from secondread.service.intake.receive import receive_instance
from secondread.service.reading.at_work import at_work
from secondread.service.reading.scorer import Scorer
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.database import Database
from secondread.service.store.migrate import migrate
from secondread.service.store.tables import Alarm, Job, Reading, Study
from secondread.service.watching.condition import look_after
from secondread.service.watching.metrics import ServiceMetrics
from secondread.service.watching.month import month_of
from secondread.service.watching.month_written import document
from secondread.service.watching.streams import FILE, Streams
from secondread.terminal.log_lines import Lines

STUDY = "1.2.826.0.1.3680043.8.498.4711"
PATIENT = {
    "StudyInstanceUID": STUDY,
    "PatientName": "Zwiebelfisch^Xaver",
    "PatientID": "PID-ZWIEBEL-4711",
    "PatientBirthDate": "19310229",
    "AccessionNumber": "ACC-ZWIEBEL",
    "StudyDescription": "Thorax Zwiebelfisch",
    "InstitutionName": "Klinik Zwiebelhausen",
    "ReferringPhysicianName": "Knoblauch^Kunigunde",
}
CONSPICUOUS = ("wiebel", "ZWIEBEL", "19310229", "noblauch", STUDY)
PATIENTS_OWN = frozenset(
    {"patient_id", "patient_name", "birth_date", "accession", "description", "study_uid", "sop_instance_uid",
     "series_uid", "path", "sender", "comment", "detail", "text", "about", "reason", "folder", "worst"}
)  # fmt: skip
"""Columns that hold, or may hold, what is a patient's."""


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    folder = Path(secondread.service.__file__).parent
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "log_event":
                yield f"{file.relative_to(folder)}:{node.lineno}", node


def test_no_call_of_the_log_hands_on_a_column_of_a_patient_or_the_text_of_an_error() -> None:
    calls = dict(log_calls())
    assert len(calls) > 20
    wrong = []
    for place, call in calls.items():
        values = [*call.args, *(keyword.value for keyword in call.keywords)]
        for node in (part for value in values for part in ast.walk(value)):
            if isinstance(node, ast.Attribute) and node.attr in PATIENTS_OWN:
                wrong.append(f"{place}: .{node.attr}")
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("str", "repr"):
                wrong.append(f"{place}: {ast.unparse(node)}")
            if isinstance(node, ast.FormattedValue) and getattr(node.value, "id", "") in ("error", "failure"):
                wrong.append(f"{place}: the text of an error")
    assert wrong == []


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All lines that a service would keep of its processes, and of every library."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(Lines())
    root = logging.getLogger()
    level, own = root.level, logging.getLogger("secondread").level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    logging.getLogger("secondread").setLevel(logging.INFO)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)
    logging.getLogger("secondread").setLevel(own)


def test_a_conspicuous_patient_passes_and_no_log_alarm_metric_or_report_knows(
    tmp_path, fitted, log, caplog
) -> None:
    bundles = [{"name": "films", "bundle": fitted.path, "gate": {"on": False}}]
    said = {"spool": tmp_path / "spool", "bundles": bundles, "device": "cpu"}
    settings = ServiceSettings.model_validate({**said, "complete": {"quiet_s": 0}, "receive": {"free_gb": 0}})
    spool, database = Spool(settings.spool), Database(settings.database_url)
    migrate(database)
    pixels = np.random.default_rng(0).integers(500, 900, (48, 40)).astype(np.uint16)
    sent = [write_film(tmp_path / f"{row}.dcm", pixels + row, **PATIENT).read_bytes() for row in (1, 2)]
    for data in (*sent, sent[0], sent[1][:700], b"Zwiebelfisch is no DICOM"):  # again, torn, and none at all
        receive_instance(database, spool, settings, io.BytesIO(data), "ZWIEBEL-SCU")
    clock = QuietClock()
    complete_quiet_studies(database, settings, clock)
    complete_quiet_studies(database, settings, clock)
    with at_work(settings) as loaded:
        scorer = Scorer(settings, database, spool, loaded, "w1", threading.Event())
        while scorer.next() is not None:
            pass
    with database.write() as session:
        study = session.scalars(select(Study)).one()
        assert (study.state, study.patient_id) == ("read", PATIENT["PatientID"])
        reading = session.scalars(select(Reading)).one()
        study.state = "set aside"
    Streams(settings, spare=0)._take(reading)
    Streams(settings, spare=0).go_on(database)
    look_after(database, settings)
    with database.read() as session:
        alarms = [f"{one.kind} {one.about} {one.text} {one.remedy}" for one in session.scalars(select(Alarm))]
        keys = [f"{job.kind} {job.key} {job.payload}" for job in session.scalars(select(Job))]
    told = {
        "log": log.getvalue(),
        "records": caplog.text,
        "alarms": "\n".join(alarms),
        "jobs": "\n".join(keys),
        "metrics": ServiceMetrics(database, settings).text().decode(),
        "report": str(document(month_of(database, settings, f"{reading.at:%Y-%m}"))),
        "drift": (settings.spool / FILE).read_text() if (settings.spool / FILE).exists() else "",
        "names": "\n".join(str(path.relative_to(settings.spool)) for path in settings.spool.rglob("*")),
    }
    assert '"event": "study done"' in told["log"]
    assert len(alarms) == 1
    found = [(place, word) for place, text in told.items() for word in CONSPICUOUS if word in text]
    assert found == []
