"""Workers that stay: many calls, one process, and what goes wrong costs its item."""

from __future__ import annotations

from collections.abc import Iterator

import pool_tasks
import pytest

from secondread.images.workers.kept_workers import KeptWorkers
from secondread.images.workers.outcome import Done, Failed


@pytest.fixture(scope="module")
def kept() -> Iterator[KeptWorkers]:
    workers = KeptWorkers(pool_tasks.act, workers=1, timeout_s=20)
    yield workers
    workers.close()


def test_calls_follow_one_another_in_one_process(kept: KeptWorkers) -> None:
    assert list(kept.map([1, 2])) == [Done(0, 2), Done(1, 4)]
    assert kept._pool is not None
    first = [worker.process.pid for worker in kept._pool.workers]
    assert list(kept.map([])) == []
    assert list(kept.map(range(9))) == [Done(index, 2 * index) for index in range(9)]
    assert [worker.process.pid for worker in kept._pool.workers] == first


def test_a_process_that_dies_costs_its_item_alone(kept: KeptWorkers) -> None:
    found = list(kept.map([1, "crash", 3]))
    assert [type(one) for one in found] == [Done, Failed, Done]
    assert list(kept.map([4])) == [Done(0, 8)]


def test_a_call_that_is_given_up_leaves_nothing_to_the_next(kept: KeptWorkers) -> None:
    results = kept.map(range(50))
    assert next(results) == Done(0, 0)
    results.close()
    assert list(kept.map([7])) == [Done(0, 14)]


def test_a_process_that_was_killed_while_it_waited_costs_nothing(kept: KeptWorkers) -> None:
    assert list(kept.map([1])) == [Done(0, 2)]
    assert kept._pool is not None
    for worker in kept._pool.workers:
        worker.process.kill()
    assert list(kept.map([5])) == [Done(0, 10)]


def test_after_its_end_a_call_starts_others(kept: KeptWorkers) -> None:
    assert list(kept.map([1])) == [Done(0, 2)]
    kept.close()
    assert list(kept.map([2])) == [Done(0, 4)]
