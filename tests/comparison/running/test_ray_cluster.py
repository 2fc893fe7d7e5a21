"""Runs, and shards of an archive, under a Ray of this machine's own, with a worker killed in the middle."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tiny_tasks import intensity_task, process_of, scores, trained_task, until_epoch

from secondread import __version__
from secondread.bundles.bundle import Bundle
from secondread.clusters.joined import LOCAL, connected, import_ray, why_refused
from secondread.clusters.machines import lacks
from secondread.cohorts.checking.check import check
from secondread.cohorts.checking.findings import findings
from secondread.cohorts.checking.in_shards import How as CheckHow
from secondread.cohorts.checking.in_shards import see_in_shards
from secondread.cohorts.checking.on_ray import OnRay as CheckOnRay
from secondread.cohorts.checking.seen_table import SeenTable
from secondread.cohorts.listing.index import index
from secondread.cohorts.listing.listing import listing
from secondread.cohorts.listing.options import IndexOptions
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.manifest_file import ManifestFile
from secondread.comparison.running.one_run import LOG, Task, work
from secondread.comparison.running.ray_cluster import run_on_ray
from secondread.comparison.running.task_display import Quiet
from secondread.errors import UserError
from secondread.outputs.lock import only_one
from secondread.readings.archive.on_ray import OnRay
from secondread.readings.archive.score_archive import score_archive
from secondread.readings.archive.score_shard import How
from secondread.readings.score_into import score_into

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


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """One Ray of two cores for all tests here: its start takes long."""
    pytest.importorskip("ray", reason="the extra secondread[ray] is not installed")
    level = logging.getLogger("ray").level
    with connected(import_ray(), LOCAL, 2):
        yield
    assert logging.getLogger("ray").level == level


def kill_once_under_way(task: Task) -> None:
    with until_epoch(task):
        pass
    os.kill(process_of(task), signal.SIGKILL)


@pytest.mark.slow
def test_with_a_worker_killed_nothing_is_lost_and_the_numbers_are_those_of_undisturbed_runs(
    phantoms: Manifest, tmp_path: Path, local_ray: None
):
    manifest = Path(phantoms.source)
    here, there = tmp_path / "here" / "comparison", tmp_path / "there" / "comparison"
    undisturbed = [trained_task(here, manifest, EPOCHS), intensity_task(here, manifest)]
    tasks = [
        trained_task(there, manifest, EPOCHS),
        intensity_task(there, manifest, workers=1),
        intensity_task(there, tmp_path / "missing.csv", seed=5),
    ]
    killer = threading.Thread(target=kill_once_under_way, args=(tasks[0],))
    killer.start()
    run_on_ray(tasks, address="local", show=Quiet(), cores=2)
    killer.join()
    for task in undisturbed:
        work(task)
    assert [scores(task) for task in tasks[:2]] == [scores(task) for task in undisturbed]
    assert (tasks[0].place / LOG).read_text().count("process ") == 2
    assert tasks[2].failed is not None
    assert "missing.csv" in tasks[2].failed


def kill_the_one_that_waits(out: Path) -> None:
    """The worker of the second shard, which is held here until it is killed, and so after its begin and
    before its end."""
    deadline = time.monotonic() + 240
    with only_one(out / "shards" / "000001"):
        while not (out / "shards" / "000000" / "shard.json").is_file():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        at_work = [
            p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [""])[0] == "ray::_do"
        ]
        at_work[0].kill()


@pytest.mark.slow
def test_shards_whose_worker_is_killed_are_read_all_the_same(
    fitted: Bundle, phantoms: Manifest, tmp_path: Path, local_ray: None
) -> None:
    manifest, out = ManifestFile(Path(phantoms.source), ("split=test",)), tmp_path / "out"
    killer = threading.Thread(target=kill_the_one_that_waits, args=(out,))

    def execute(seen):
        killer.start()
        return OnRay(LOCAL, Path(str(fitted.path)), fitted.digest)

    told = score_archive(fitted, manifest, How(out), execute, rows_per_shard=6)
    killer.join()
    assert (told.scored, told.failed) == (12, ())
    score_into(fitted, phantoms.where("split=test"), tmp_path / "whole", workers=0)
    assert (out / "readings.csv").read_text() == (tmp_path / "whole" / "readings.csv").read_text()


@pytest.mark.slow
def test_a_check_on_ray_finds_what_one_process_finds(
    phantoms: Manifest, tmp_path: Path, local_ray: None
) -> None:
    rows = [
        replace(row, patient_id=f"p{number % 5}", path=str(phantoms.base / row.path))
        for number, row in enumerate(phantoms.rows)
    ]
    rows[2:4] = [replace(rows[2], path=str(tmp_path / "gone.png")), replace(rows[3], mask="gone.png")]
    manifest = ManifestFile(Manifest(tuple(rows), tmp_path).write(tmp_path / "manifest.csv"))
    with closing(SeenTable()) as table:
        how = CheckHow(tmp_path / "seen", workers=0)
        see_in_shards(table, manifest, manifest.looked_through(), how, CheckOnRay(LOCAL), rows_per_shard=5)
        found = [(each.line, tuple(each.paths)) for each in findings(table)]
    assert found == [(each.line, each.paths) for each in check(manifest.path, workers=0)]
    assert len(found) > 2


@pytest.mark.slow
def test_headers_read_on_ray_give_the_manifest_of_one_process(
    phantoms: Manifest, tmp_path: Path, local_ray: None
) -> None:
    listed = index(phantoms.base, workers=0)
    options = IndexOptions(manifest_path=tmp_path / "manifest.csv", workers=0, ray=LOCAL)
    with listing(phantoms.base, options) as found:
        assert tuple(found.rows()) == listed.manifest.rows
        assert (found.set_aside, found.warnings) == (listed.set_aside, listed.warnings)


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
    assert lacks(str(marker), [str(manifest)], __version__) == []
    elsewhere = str(tmp_path / "elsewhere" / "marker")
    assert "does not see the folder" in lacks(elsewhere, [str(manifest)], __version__)[0]
    assert lacks(str(marker), [str(manifest)], "9.9") == [f"has secondread {__version__}, not 9.9"]


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
    assert "it asks for a token: set RAY_AUTH_MODE" in why_refused(outer)
    assert why_refused(ConnectionError("Failed\nmore")) == "ConnectionError: Failed"
