import os
import subprocess
import sys

from secondread.images.workers.cores import physical_cores
from secondread.images.workers.threads import take_threads, threads


def test_what_is_set_stands(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3,1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    take_threads()
    assert threads().number == 3
    assert "is set" in threads().why
    assert os.environ["OMP_NUM_THREADS"] == "3,1"
    assert os.environ["OMP_WAIT_POLICY"] == "active"


def test_the_number_is_that_of_the_cores_whatever_else_runs(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        assert threads().number == physical_cores()
    finally:
        for process in burning:
            process.kill()
            process.wait()


def test_threads_sleep_while_they_wait(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    take_threads()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"


def test_what_is_no_number_is_not_heeded(monkeypatch):
    for said in ("", "many", "0"):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert threads().number == physical_cores()
