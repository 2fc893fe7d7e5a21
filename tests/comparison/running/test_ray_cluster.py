"""Runs under a Ray of this machine's own, with a worker killed in the middle."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tiny_tasks import intensity_task, process_of, scores, trained_task, until_epoch

from secondread import __version__
from secondread.cohorts.manifest import Manifest
from secondread.comparison.running.one_run import LOG, Task, work
from secondread.comparison.running.ray_cluster import _why_refused, lacks, run_on_ray
from secondread.comparison.running.task_display import Quiet
from secondread.errors import UserError

EPOCHS = 24
SCRIPT = """
import sys
from pathlib import Path
from secondread.comparison.running.task_display import Quiet
from secondread.comparison.running.ray_cluster import run_on_ray
from secondread.comparison.running.one_run import Task
try:
    run_on_ray([Task.read(Path(sys.argv[1]))], address="local", show=Quiet(), cores=1)
except KeyboardInterrupt:
    sys.exit(130)
"""


def kill_once_under_way(task: Task) -> None:
    with until_epoch(task):
        pass
    os.kill(process_of(task), signal.SIGKILL)


@pytest.mark.slow
def test_with_a_worker_killed_nothing_is_lost_and_the_numbers_are_those_of_undisturbed_runs(
    phantoms: Manifest, tmp_path: Path
):
    pytest.importorskip("ray", reason="the extra secondread[ray] is not installed")
    manifest = Path(phantoms.source)
    here, there = tmp_path / "here" / "comparison", tmp_path / "there" / "comparison"
    undisturbed = [trained_task(here, manifest, EPOCHS), intensity_task(here, manifest)]
    tasks = [
        trained_task(there, manifest, EPOCHS),
        intensity_task(there, manifest, workers=1),
        intensity_task(there, tmp_path / "missing.csv", seed=5),
    ]
    level = logging.getLogger("ray").level
    killer = threading.Thread(target=kill_once_under_way, args=(tasks[0],))
    killer.start()
    run_on_ray(tasks, address="local", show=Quiet(), cores=2)
    killer.join()
    assert logging.getLogger("ray").level == level
    for task in undisturbed:
        work(task)
    assert [scores(task) for task in tasks[:2]] == [scores(task) for task in undisturbed]
    assert (tasks[0].place / LOG).read_text().count("process ") == 2
    assert tasks[2].failed is not None
    assert "missing.csv" in tasks[2].failed


@pytest.mark.slow
def test_ctrl_c_saves_what_workers_have_done(phantoms: Manifest, tmp_path: Path):
    pytest.importorskip("ray", reason="the extra secondread[ray] is not installed")
    task = trained_task(tmp_path / "comparison", Path(phantoms.source), 10_000)
    with until_epoch(task):
        driver = subprocess.Popen([sys.executable, "-c", SCRIPT, str(task.write())], start_new_session=True)
    os.killpg(driver.pid, signal.SIGINT)
    assert driver.wait(60) == 130
    assert list(task.place.glob("bundle.partial/detector/checkpoints/*"))
    assert task.failed is None


def test_a_machine_says_what_it_does_not_see(tmp_path):
    marker, manifest = tmp_path / "marker", tmp_path / "manifest.csv"
    marker.touch()
    manifest.touch()
    assert lacks(str(marker), str(manifest), __version__) == []
    elsewhere = str(tmp_path / "elsewhere" / "marker")
    assert "does not see the folder" in lacks(elsewhere, str(manifest), __version__)[0]
    assert lacks(str(marker), str(manifest), "9.9") == [f"has secondread {__version__}, not 9.9"]


def test_without_ray_the_message_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    task = intensity_task(tmp_path / "comparison", tmp_path / "none.csv")
    with pytest.raises(UserError, match=r"pip install .*\[ray\]'"):
        run_on_ray([task], address="local", show=Quiet())


def test_an_address_where_nothing_listens_is_one_line(tmp_path):
    pytest.importorskip("ray", reason="the extra secondread[ray] is not installed")
    task = intensity_task(tmp_path / "comparison", tmp_path / "none.csv")
    with pytest.raises(UserError, match=r"--ray 127\.0\.0\.1:9: cannot be reached"):
        run_on_ray([task], address="127.0.0.1:9", show=Quiet())
    assert logging.getLogger("ray").propagate, "a log would not hear Ray's warnings"


def test_a_cluster_that_asks_for_a_token_is_told_as_such():
    asked, outer = RuntimeError("RPC error: InvalidAuthToken"), ConnectionError("Failed to connect")
    outer.__cause__ = asked
    assert "it asks for a token: set RAY_AUTH_MODE" in _why_refused(outer)
    assert _why_refused(ConnectionError("Failed\nmore")) == "ConnectionError: Failed"
