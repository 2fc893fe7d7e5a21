import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pool_tasks
import pytest

from secondread.images.workers import process
from secondread.images.workers.map_in_workers import map_in_workers
from secondread.images.workers.outcome import Done
from secondread.images.workers.process import MEMORY_BYTES, start_early


@pytest.fixture
def early() -> Iterator[int]:
    start_early(1, ["no.such.module", "json"])
    yield process._early[0][0].pid
    process._end_early()


def test_a_pool_takes_the_process_that_waits_and_starts_others_beside_it(early: int) -> None:
    results = list(map_in_workers(pool_tasks.whose, [0, 1], workers=2))
    found = [result.value for result in results if isinstance(result, Done)]
    assert early in found
    assert len(found) == 2
    assert os.getpid() not in found


def test_one_that_died_or_has_another_limit_is_not_taken(early: int) -> None:
    (other,) = map_in_workers(pool_tasks.whose, [0], workers=1, memory_bytes=MEMORY_BYTES // 2)
    os.kill(early, 9)
    process._early[0][0].wait()
    (after,) = map_in_workers(pool_tasks.whose, [0], workers=1)
    assert isinstance(other, Done)
    assert isinstance(after, Done)
    assert early not in (other.value, after.value)


def test_asking_twice_starts_none_that_waits_already(early: int) -> None:
    start_early(1, ["json"])
    assert [each.pid for each, _ in process._early] == [early]


def test_what_no_pool_took_ends_with_the_process_that_started_it() -> None:
    script = (
        "from secondread.images.workers import process\n"
        "process.start_early(1, [])\nprint(process._early[0][0].pid)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not Path(f"/proc/{int(done.stdout)}").exists()
