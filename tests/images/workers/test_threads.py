import os

from secondread.images.workers.cores import physical_cores
from secondread.images.workers.threads import busy_processors, threads_now


def test_what_is_set_stands(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3,1")
    assert threads_now(busy=0).number == 3
    assert "is set" in threads_now(busy=99).why


def test_a_busy_machine_gives_one_thread_and_a_free_one_its_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads_now(busy=0).number == physical_cores()
    crowded = threads_now(busy=os.cpu_count() or 1)
    assert crowded.number == 1
    assert 0 <= busy_processors() <= max(1.0, os.getloadavg()[0] + 1)


def test_what_is_no_number_is_not_heeded(monkeypatch):
    for said in ("", "many", "0"):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert 1 <= threads_now(busy=0).number <= physical_cores()
