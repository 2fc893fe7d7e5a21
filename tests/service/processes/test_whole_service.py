"""The whole service under `kill -9`, the short form of `benchmarks/service/kills.py`: nothing lost, doubled
or wrong."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from whole_service import (
    PARENT,
    Account,
    Archive,
    Running,
    Stream,
    account,
    configuration,
    made_bundle,
    wait_until_settled,
)

from secondread.exporting.export import export

FEW = ("scorer",)
MANY = ("receiver", "scorer", "sender", "receiver", PARENT)
LONGEST_S = 240.0
"""On a machine that is busy with ten times its work a start takes two minutes."""
pytestmark = pytest.mark.timeout(900)


@dataclass
class Run:
    """What a run with kills left: whom they were of, roles with torch and bytes of memory before its end, the
    account after it."""

    kills: tuple[str, ...]
    running: Running
    torch: set[str]
    memory: dict[str, int]
    status: int
    seconds_to_end: float
    output: str
    account: Account


@pytest.fixture(
    scope="module",
    params=[pytest.param(FEW, id="few"), pytest.param(MANY, id="many", marks=pytest.mark.slow)],
)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("service")
    bundle = export(made_bundle(folder), folder / "exported").path
    (folder / "films").mkdir()
    chance = random.Random(0)
    with Archive() as archive, Running(configuration(folder, bundle, archive.port)) as running:
        stream = Stream(folder / "films", running.settings.receive.port, pause_s=0.5, seed=1)
        stream.start()
        for role in request.param:
            wait_for_one_more(stream)
            assert running.kill(role, chance)
        wait_for_one_more(stream)
        stream.enough()
        wait_until_settled(running, within_s=LONGEST_S)
        psutil.Process(running.pid).send_signal(signal.SIGHUP)
        maps = {role: libraries(running, role) for role in ("page", "sender", "keeper", "receiver")}
        memory = {role: running.children(role)[0].memory_info().rss for role in maps}
        begun = time.monotonic()
        status = running.stop()
        seconds = time.monotonic() - begun
        found = account(running, stream.sent, archive, folder)
        torch = {role for role, names in maps.items() if any("libtorch" in name for name in names)}
        yield Run(request.param, running, torch, memory, status, seconds, running.output(), found)


def wait_for_one_more(stream: Stream) -> None:
    before, until = len(stream.sent.acknowledged), time.monotonic() + LONGEST_S
    while len(stream.sent.acknowledged) == before:
        assert time.monotonic() < until, "nothing is received"
        time.sleep(0.05)


def libraries(running: Running, role: str) -> set[str]:
    return {Path(one.path).name for one in running.children(role)[0].memory_maps()}


def test_nothing_is_lost_doubled_or_wrong(run: Run) -> None:
    assert run.running.killed == dict(Counter(run.kills))
    assert (run.account.lost, run.account.doubled, run.account.wrong) == ((), (), ())
    assert run.account.instances >= len(run.kills)
    assert run.account.results >= run.account.studies


def test_it_ends_gracefully_in_the_time_that_it_states(run: Run) -> None:
    assert run.status == 0
    assert run.seconds_to_end < 35
    assert "ending; what is not finished in 30 s" in run.output


def test_torch_is_in_scorers_alone(run: Run) -> None:
    assert run.torch == set()


def test_it_says_who_is_there_and_how_to_go_on(run: Run) -> None:
    assert "service person add" in run.output
    assert f"holds {run.running.settings.spool}" in run.output


def test_the_log_knows_no_patient(run: Run) -> None:
    events = {line["event"] for line in run.running.log()}
    assert {"service started", "process died", "receiver listens", "service ended"} <= events
    text = "".join(str(line) for line in run.running.log()) + run.output
    for name in ("Doe", "Jürgen", "P-4711", "19500102", "A77", "Who^Doctor", "1.2.826"):
        assert name not in text
