"""Runs in processes of their own: several at once, killed, stopped, failing, and held back by memory."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tiny_tasks import (
    intensity_task,
    process_of,
    scores,
    trained_task,
    until_epoch,
    wait_for,
)

from secondread.cohorts.manifest import Manifest
from secondread.comparison.running.local import run_locally
from secondread.comparison.running.one_run import LOG, MEASURED, RESULT, work
from secondread.comparison.running.run_memory import DEFAULT_BYTES, expected_bytes, resident_bytes
from secondread.comparison.running.task_display import Lines, Quiet
from secondread.errors import UserError
from secondread.outputs.lock import holder, only_one

SCRIPT = Path(__file__).parent / "compare_in_process.py"
EPOCHS = 24


@pytest.fixture(scope="module")
def manifest(phantoms: Manifest) -> Path:
    return Path(phantoms.source)


@pytest.fixture(scope="module")
def undisturbed(
    manifest: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, float | None]]:
    """The scores of one run after the other, in this process."""
    folder = tmp_path_factory.mktemp("undisturbed") / "comparison"
    found = {}
    for task in (trained_task(folder, manifest, EPOCHS), intensity_task(folder, manifest)):
        work(task)
        found[task.place.parent.name] = scores(task)
    return found


def alive(process: int) -> bool:
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_two_at_once_give_the_numbers_of_one_and_a_failing_third_does_not_stop_them(
    undisturbed, manifest, tmp_path
):
    folder = tmp_path / "comparison"
    failing = intensity_task(folder, tmp_path / "missing.csv", seed=5)
    good = [trained_task(folder, manifest, EPOCHS), intensity_task(folder, manifest, workers=1)]
    told = io.StringIO()
    run_locally([failing, *good], jobs=2, show=Lines(told))
    assert {task.place.parent.name: scores(task) for task in good} == undisturbed
    assert failing.failed is not None
    assert "missing.csv" in failing.failed
    assert not (failing.place / RESULT).exists()
    assert sorted(line.split()[0] for line in told.getvalue().splitlines()) == [
        "done", "done", "failed", "started", "started", "started",
    ]  # fmt: skip
    cost = json.loads((good[0].place / RESULT).read_text())["cost"]
    assert 0 < cost["score_seconds"] < 60
    assert 0 < cost["peak_memory_bytes"] <= expected_bytes(good[0]) < 2 << 30


@pytest.mark.slow
def test_after_a_killed_child_and_ctrl_c_and_kill_9_the_scores_are_those_of_an_undisturbed_run(
    undisturbed, manifest, tmp_path
):
    task = trained_task(tmp_path / "comparison", manifest, EPOCHS)
    command = [sys.executable, str(SCRIPT), "1", str(task.write())]

    with until_epoch(task):
        parent = subprocess.Popen(command, start_new_session=True)
    first = process_of(task)
    with until_epoch(task):
        os.kill(first, signal.SIGKILL)
    second = process_of(task)
    assert second != first
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.wait(60) == 130
    assert not alive(second)
    assert not task.done
    assert task.failed is None

    with until_epoch(task):
        parent = subprocess.Popen(command)
    third = process_of(task)
    parent.kill()
    assert parent.wait() == -signal.SIGKILL
    wait_for(lambda: not alive(third))
    assert not task.done

    work(task)
    log = (task.place / LOG).read_text()
    assert log.count(" epoch 1/") <= 2, "after Ctrl-C the fit began anew instead of going on"
    assert scores(task) == undisturbed["ae"]


def quick(code: str):
    """A task's process that runs `code` with `place`, its folder."""
    start = "import sys, time, pathlib; place = pathlib.Path(sys.argv[1]).parent\n"
    return lambda file: [sys.executable, "-S", "-c", start + code, str(file)]


WRITES_A_RESULT = """
begun = time.time()
time.sleep(0.3)
(place / "result.json").write_text(f"[{begun}, {time.time()}]")
"""


WAITS_FOR_ANOTHER = """
(place / "begun").touch()
while len(list(place.parents[1].rglob("begun"))) < 2 and time.time() < begun + 60:
    time.sleep(0.01)
"""


@pytest.mark.parametrize(("budget", "together"), [(3 * DEFAULT_BYTES, True), (DEFAULT_BYTES, False)])
def test_a_second_run_waits_until_there_is_memory_for_it(tmp_path, budget, together):
    code = WRITES_A_RESULT
    if together:
        code = code.replace("\ntime.sleep(0.3)\n", WAITS_FOR_ANOTHER)
    tasks = [intensity_task(tmp_path / "comparison", tmp_path / "none.csv", seed) for seed in (0, 1)]
    run_locally(tasks, jobs=2, memory_bytes=budget, show=Quiet(), command=quick(code))
    (begun, ended), (next_begun, next_ended) = sorted(
        json.loads((task.place / RESULT).read_text()) for task in tasks
    )
    assert (next_begun < ended) is together
    assert next_ended > begun


def test_what_a_run_is_seen_to_hold_counts_against_the_next(tmp_path):
    folder, manifest = tmp_path / "comparison", tmp_path / "none.csv"
    brief, long = intensity_task(folder, manifest), trained_task(folder, manifest, 1)
    next_one = intensity_task(folder, manifest, seed=1)
    for task in (brief, long):
        task.place.mkdir(parents=True)
        (task.place / MEASURED).write_text(json.dumps({"peak": 1000}))
    longer = "time.sleep(0.8 * (place.parent.name == 'ae'))\n" + WRITES_A_RESULT
    arguments = {"memory_bytes": 5000, "show": Quiet(), "command": quick(longer)}
    run_locally([brief, long, next_one], jobs=2, resident=lambda process: 4500, **arguments)
    begun = json.loads((next_one.place / RESULT).read_text())[0]
    assert begun > json.loads((long.place / RESULT).read_text())[1]


def test_a_process_that_ends_without_a_word_leaves_a_reason(tmp_path):
    tasks = [intensity_task(tmp_path / "comparison", tmp_path / "none.csv", seed) for seed in (0, 1)]
    run_locally(tasks[:1], jobs=1, show=Quiet(), command=quick("sys.exit(3)"))
    assert "ended with status 3" in tasks[0].failed
    told = io.StringIO()
    run_locally(tasks[1:], jobs=1, show=Lines(told), command=quick("import os; os.kill(os.getpid(), 9)"))
    assert "SIGKILL" in tasks[1].failed
    assert [line.split()[0] for line in told.getvalue().splitlines()] == [
        "started", "again", "started", "failed",
    ]  # fmt: skip


def test_a_process_that_is_stopped_from_outside_is_begun_once_more(tmp_path):
    task = intensity_task(tmp_path / "comparison", tmp_path / "none.csv")
    told = io.StringIO()
    stops_once = "(place / 'seen').exists() or ((place / 'seen').touch(), sys.exit(130))\n" + WRITES_A_RESULT
    run_locally([task], jobs=1, show=Lines(told), command=quick(stops_once))
    assert task.done
    assert [line.split()[0] for line in told.getvalue().splitlines()] == [
        "started", "again", "started", "done",
    ]  # fmt: skip


def test_a_folder_takes_one_comparison_at_a_time(tmp_path):
    code = (
        "import sys, pathlib\nfrom secondread.outputs.lock import only_one\n"
        "with only_one(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=f"at work here \\(process {other.pid} on "), only_one(tmp_path):
            pass
        other.kill()
        other.wait()
        with only_one(tmp_path):
            assert holder(tmp_path).startswith(f"process {os.getpid()} on ")


def test_memory_is_that_of_a_process_and_its_children():
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    inner = "b = bytearray(60 << 20); b[::4096] = b'1' * len(b[::4096]); print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, inner], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as outer:
        assert outer.stdout.readline() == b"held\n"
        assert resident_bytes(outer.pid) > 60 << 20
        outer.stdin.close()
    time.sleep(0.01)
    assert resident_bytes(outer.pid) == 0
