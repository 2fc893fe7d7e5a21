"""What Prometheus is told, and whether the service says that it is ready."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from secondread.service.page.routes.watched import router
from secondread.service.store.alarms import open_alarm
from secondread.service.store.jobs import claim, enqueue, finish, now
from secondread.service.store.refusals import count_refusals
from secondread.service.store.tables import Job, Worker
from secondread.service.watching.metrics import ServiceMetrics
from secondread.service.watching.streams import Streams
from secondread.service.watching.tallies import Tallies


def values(text: bytes) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_metrics_count_what_is_in_the_database(settings, database, fill) -> None:
    studies = fill(40)
    fill(4, shadow=True)
    Streams(settings, spare=0).go_on(database)
    with database.write() as session:
        enqueue(session, "score", "1:1")
        enqueue(session, "send", f"{studies[0]}:pacs", study_id=studies[0])
        open_alarm(session, "disk", "spool", "full")
        for _ in range(2):
            count_refusals(session, {("instance refused", "A700"): 3})
        session.query(Job).filter(Job.kind == "score").update({"created": now() - timedelta(hours=1)})
    done = claim(database, ["send"], "w")
    with database.write() as session:
        finish(session, done)
        session.query(Job).filter(Job.kind == "send").update({"ended": now() - timedelta(minutes=1)})
    metrics = ServiceMetrics(database, settings)
    found = values(metrics.text())
    assert found["secondread_database_up",] == 1
    assert found["secondread_studies", "read"] == 44
    assert found["secondread_jobs", "score", "waiting"] == 1
    assert found["secondread_queue_age_seconds", "score"] == pytest.approx(3600, abs=60)
    assert found["secondread_readings_total", "chest", "shown"] == 40
    assert found["secondread_readings_total", "tried", "shadow"] == 4
    assert found["secondread_p_value_count", "chest", "shown"] == 40
    assert found["secondread_p_value_bucket", "chest", "1.0", "shown"] == 40
    assert found["secondread_stage_seconds_sum", "read"] == pytest.approx(44 * 0.4)
    assert found["secondread_deliveries_total", "pacs", "send", "done"] == 1
    assert found["secondread_alarms", "disk"] == 1
    assert found["secondread_refusals_total", "A700", "instance refused"] == 6
    assert found["secondread_drift_studies", "chest", "a1"] == 40
    assert found["secondread_disk_free_bytes",] > 0
    fill(2)
    again = values(metrics.text())
    assert again["secondread_readings_total", "chest", "shown"] == 42
    assert again["secondread_deliveries_total", "pacs", "send", "done"] == 1


def test_no_patient_and_no_study_is_in_the_metrics(settings, database, fill) -> None:
    fill(5)
    text = ServiceMetrics(database, settings).text().decode()
    assert not re.search(r"Zwiebelfisch|ZF-|2\.25\.", text)
    assert len(text.splitlines()) < 400


def test_tallies_do_not_count_twice_and_read_in_portions(database, fill, monkeypatch) -> None:
    monkeypatch.setattr("secondread.service.watching.tallies.BATCH", 3)
    fill(10)
    tallies = Tallies()
    for _ in range(2):
        with database.read() as session:
            tallies.look(session)
    assert tallies.readings["chest", "shown"] == 10


def test_health_says_who_is_missing(settings, database) -> None:
    app = FastAPI()
    app.include_router(router)
    app.state.settings, app.state.database = settings, database
    client = TestClient(app)
    assert client.get("/health/live").json() == {"live": True}
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {
        "database": "ok", "spool": "ok", "keeper": "is not at work",
        "receiver": "is not at work", "scorer": "is not at work",
    }  # fmt: skip
    with database.write() as session:
        for role in ("keeper", "receiver", "scorer"):
            session.add(Worker(id=role, host="h", pid=1, role=role, started=now()))
    assert client.get("/health/ready").json()["ready"] is True
    told = client.get("/metrics")
    assert told.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert values(told.content)["secondread_workers", "scorer"] == 1
    app.state.settings = settings.model_copy(
        update={"page": settings.page.model_copy(update={"metrics": False})}
    )
    assert client.get("/metrics").status_code == 404


def test_metrics_say_that_the_database_is_away(settings, database, tmp_path) -> None:
    from secondread.service.store.database import Database

    away = Database("postgresql+psycopg://nobody@127.0.0.1:9/nothing")
    found = values(ServiceMetrics(away, settings).text())
    assert found["secondread_database_up",] == 0
    assert ("secondread_studies", "read") not in found
