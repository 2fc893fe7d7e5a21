"""Metrics for Prometheus, counted in the database when they are asked for. Labels are names of the
configuration, states and hashes of scanners; nothing of a patient, and never more than a few hundred
lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.away import is_away
from secondread.service.store.database import Database
from secondread.service.store.jobs import now
from secondread.service.store.tables import Alarm, Job, Refusal, Study, Worker
from secondread.service.watching.streams import read_streams
from secondread.service.watching.tallies import Histogram, Tallies
from secondread.version import __version__

TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("receiving", "waiting", "reading", "read", "not read", "set aside", "erased")
MOST_STREAMS = 50


class ServiceMetrics(Collector):
    """What one process shows. It remembers what it has counted (`tallies`)."""

    def __init__(self, database: Database, settings: ServiceSettings) -> None:
        self._database, self._settings = database, settings
        self._tallies = Tallies()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format. While the database is away only
        `secondread_database_up 0` and what needs no database are there."""
        return bytes(generate_latest(self._registry))

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("secondread", "The service.", {"version": __version__})
        yield gauge("disk_free_bytes", "Free on the spool's disk.", Spool(self._settings.spool).free_bytes())
        found: list[Metric] = []
        try:
            with self._database.read() as session:
                self._tallies.look(session)
                found += of_now(session)
        except Exception as error:
            if not is_away(error):
                raise
            yield gauge("database_up", "Whether the database answers.", 0)
            return
        yield gauge("database_up", "Whether the database answers.", 1)
        yield from found
        with self._tallies.lock:
            yield from of_all_time(self._tallies)
        yield from of_drift(self._settings)


def gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"secondread_{name}", words, value=value)


def of_now(session: Session) -> Iterator[Metric]:
    studies = GaugeMetricFamily("secondread_studies", "Studies by state.", labels=["state"])
    counts = dict(session.execute(select(Study.state, func.count()).group_by(Study.state)).all())
    for state in STATES:
        studies.add_metric([state], counts.get(state, 0))
    yield studies
    jobs = GaugeMetricFamily(
        "secondread_jobs", "Work that waits, runs or was set aside.", labels=["kind", "state"]
    )
    left = select(Job.kind, Job.state, func.count()).where(Job.state != "done")
    counted = session.execute(left.group_by(Job.kind, Job.state))
    found = {(kind, state): many for kind, state, many in counted}
    for kind in sorted({"score", "send", "tell", *(kind for kind, _ in found)}):
        for state in ("waiting", "running", "set aside"):
            jobs.add_metric([kind, state], found.get((kind, state), 0))
    yield jobs
    age = GaugeMetricFamily(
        "secondread_queue_age_seconds", "Age of the oldest work that waits.", labels=["kind"]
    )
    oldest = select(Job.kind, func.min(Job.created)).where(Job.state == "waiting").group_by(Job.kind)
    ages = {kind: (now() - since).total_seconds() for kind, since in session.execute(oldest)}
    for kind in ("score", "send", "tell"):
        age.add_metric([kind], max(ages.get(kind, 0.0), 0.0))
    yield age
    alarms = GaugeMetricFamily("secondread_alarms", "Alarms that are open.", labels=["kind"])
    is_open = select(Alarm.kind, func.count()).where(Alarm.closed.is_(None)).group_by(Alarm.kind)
    for kind, many in {"drift": 0, **dict(session.execute(is_open).all())}.items():
        alarms.add_metric([kind], many)
    yield alarms
    workers = GaugeMetricFamily("secondread_workers", "Processes at work.", labels=["role"])
    at_work = dict(session.execute(select(Worker.role, func.count()).group_by(Worker.role)).all())
    for role in sorted({"scorer", "sender", "keeper", "receiver", *at_work}):
        workers.add_metric([role], at_work.get(role, 0))
    yield workers
    refused = CounterMetricFamily(
        "secondread_refusals", "What senders were refused, by the status that they heard.",
        labels=["what", "status"],
    )  # fmt: skip
    for refusal in session.scalars(select(Refusal).order_by(Refusal.what, Refusal.status)):
        refused.add_metric([refusal.what, refusal.status], refusal.count)
    yield refused


def of_all_time(tallies: Tallies) -> Iterator[Metric]:
    shown = ["bundle", "role"]
    for name, words, counts in (
        ("readings", "Readings by bundle, of what is shown and of shadows.", tallies.readings),
        ("flagged", "Flagged readings.", tallies.flagged),
    ):
        counter = CounterMetricFamily(f"secondread_{name}", words, labels=shown)
        for labels, many in counts.items():
            counter.add_metric(labels, many)
        yield counter
    sent = CounterMetricFamily(
        "secondread_deliveries",
        "Results and messages by destination.",
        labels=["kind", "destination", "outcome"],
    )
    for labels, many in tallies.delivered.items():
        sent.add_metric(labels, many)
    yield sent
    yield _histogram("stage_seconds", "Seconds of each stage.", ["stage"], tallies.stages)
    yield _histogram("p_value", "P-values of readings.", shown, tallies.p_values)


def _histogram(name: str, words: str, labels: list[str], found: dict[tuple[str, ...], Histogram]) -> Metric:
    family = HistogramMetricFamily(f"secondread_{name}", words, labels=labels)
    for values, histogram in found.items():
        family.add_metric(values, buckets=histogram.buckets, sum_value=histogram.total)
    return family


def of_drift(settings: ServiceSettings) -> Iterator[Metric]:
    """Of each stream: studies watched, and how near its statistics are to their alarm (1)."""
    labels = ["bundle", "scanner"]
    studies = GaugeMetricFamily("secondread_drift_studies", "Studies watched.", labels=labels)
    evidence = GaugeMetricFamily(
        "secondread_drift_evidence_ratio",
        "Evidence against exchangeability, over its threshold.",
        labels=labels,
    )
    cusum = GaugeMetricFamily(
        "secondread_drift_cusum_ratio", "CUSUM of the score, over its limit.", labels=[*labels, "side"]
    )
    streams: list[dict[str, Any]] = list(read_streams(settings.spool).values())
    for stream in streams[-MOST_STREAMS:]:
        named = [str(stream["bundle"]), str(stream["scanner"] or "unknown")]
        watch = stream["watch"]
        studies.add_metric(named, watch["studies"])
        if watch["trace"]:
            *_, found, up, down = watch["trace"][-1]
            evidence.add_metric(named, found)
            cusum.add_metric([*named, "higher"], up)
            cusum.add_metric([*named, "lower"], down)
    yield from (studies, evidence, cusum)
