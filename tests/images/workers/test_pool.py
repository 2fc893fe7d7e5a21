from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pool_tasks
import pytest

from secondread.errors import UserError
from secondread.images.image import ImageError
from secondread.images.workers.map_in_workers import call_in_worker, make_pool, map_in_workers
from secondread.images.workers.outcome import Done, Failed


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def eventually_gone(processes: set[int]) -> bool:
    deadline = time.monotonic() + 60
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(alive, processes))


@pytest.mark.parametrize("workers", [0, 1, pytest.param(3, marks=pytest.mark.slow)])
def test_results_come_in_the_items_order(workers: int) -> None:
    results = list(map_in_workers(pool_tasks.act, range(40), workers=workers))
    assert results == [Done(index, 2 * index) for index in range(40)]


@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_in_gives_nothing(workers: int) -> None:
    assert list(map_in_workers(pool_tasks.act, [], workers=workers)) == []


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("hang", "hang: no answer within 1 s"),
        ("exit", "exit: its decoding process ended with status 3"),
        ("crash", "crash: its decoding process was ended by SIGSEGV"),
        ("grow", "grow: needs more memory than is allowed"),
        pytest.param("grow by array", "needs more memory than is allowed", marks=pytest.mark.slow),
        ("refuse", "some.dcm: is bad; mend it"),
        ("raise", "raise: ValueError: two lines"),
        ("unsendable", "the result cannot be sent"),
    ],
)
def test_a_bad_item_costs_only_itself(item: str, said: str) -> None:
    results = list(
        map_in_workers(
            pool_tasks.act,
            [1, item, 3, 4],
            workers=1,
            timeout_s=1 if item == "hang" else 60,
            memory_bytes=3 << 30,
        )
    )
    assert [result.index for result in results] == [0, 1, 2, 3]
    assert [result.value for result in results if isinstance(result, Done)] == [2, 6, 8]
    bad = results[1]
    assert isinstance(bad, Failed)
    assert said in str(bad.error)
    assert "\n" not in str(bad.error)


def test_many_dying_workers_cost_one_item_each() -> None:
    items = [1, "exit", "crash", 2, "exit", 3] * 2
    results = list(map_in_workers(pool_tasks.act, items, workers=2))
    assert sum(isinstance(result, Failed) for result in results) == 6


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("pickle", "sent no valid answer"),
        pytest.param("pickle of a path", "sent no valid answer", marks=pytest.mark.slow),
        pytest.param("another type", "sent no valid answer", marks=pytest.mark.slow),
        pytest.param("another item", "a question that was not asked", marks=pytest.mark.slow),
        pytest.param("nothing", "sent no valid answer", marks=pytest.mark.slow),
        pytest.param("too long", "an answer of 1,099,511,627,776 bytes", marks=pytest.mark.slow),
        ("half", "no answer within 1 s"),
        pytest.param("closes", "fell silent", marks=pytest.mark.slow),
    ],
)
def test_a_decoder_that_was_taken_over_runs_nothing_here(tmp_path: Path, what: str, said: str) -> None:
    items = [1, (what, tmp_path), 3]
    timeout_s = 1 if what == "half" else 60
    results = list(map_in_workers(pool_tasks.taken_over, items, workers=1, timeout_s=timeout_s))
    assert not list(tmp_path.iterdir())
    assert [result.value for result in results if isinstance(result, Done)] == [2, 6]
    bad = results[1]
    assert isinstance(bad, Failed)
    assert said in str(bad.error)


def test_a_worker_that_is_killed_while_it_starts_is_replaced(tmp_path: Path) -> None:
    results = map_in_workers(
        pool_tasks.process, range(3), workers=1, initializer=pool_tasks.end_early, initargs=(str(tmp_path),)
    )
    assert all(isinstance(result, Done) for result in results)
    assert len(list(tmp_path.iterdir())) == 3


def test_where_no_worker_can_start_one_line_says_so(tmp_path: Path) -> None:
    results = map_in_workers(
        pool_tasks.process, range(3), workers=2, initializer=pool_tasks.end_always, initargs=(str(tmp_path),)
    )
    with pytest.raises(UserError, match=r"no worker process can start.*SIGKILL.*free memory"):
        list(results)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_item_whose_worker_is_killed_from_outside_is_tried_again(tmp_path: Path, workers: int) -> None:
    items = [(n, str(tmp_path)) for n in range(4)]
    results = list(map_in_workers(pool_tasks.die_once, items, workers=workers))
    assert results == [Done(n, n) for n in range(4)]


def test_items_that_wait_in_a_quick_worker_cost_nothing_where_another_ends_it() -> None:
    items = [1, 2, 3, "exit", 5, "crash", 7, 8, "exit", 10]
    results = list(map_in_workers(pool_tasks.act, items, workers=1))
    assert [result.index for result in results if isinstance(result, Failed)] == [3, 5, 8]
    assert [result.value for result in results if isinstance(result, Done)] == [2, 4, 6, 10, 14, 16, 20]


def test_the_time_of_an_item_begins_when_those_before_it_are_answered() -> None:
    items = [0.0, 0.0, 0.6, 0.6, 0.6, 0.6]
    results = list(map_in_workers(pool_tasks.sleep, items, workers=1, timeout_s=2.0))
    assert results == [Done(index, seconds) for index, seconds in enumerate(items)]


def test_a_quick_worker_goes_on_while_nobody_takes_its_answers(tmp_path: Path) -> None:
    pool = make_pool(
        pool_tasks.marked, [(number, str(tmp_path)) for number in range(40)],
        workers=1, timeout_s=60.0, memory_bytes=3 << 30,
    )  # fmt: skip
    results = pool.results()
    try:
        pool.start()
        next(results)
        with pool.changed:  # none of its answers is handed over meanwhile
            deadline = time.monotonic() + 60
            while len(list(tmp_path.iterdir())) < 3:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        assert len(list(results)) == 39
    finally:
        pool.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_panic_that_is_no_exception_costs_one_item(workers: int) -> None:
    with pytest.raises(ImageError, match=r"PanicException: called .Option::unwrap"):
        call_in_worker(pool_tasks.panic, "panic", workers=workers)


@pytest.mark.parametrize(
    ("item", "said"),
    [("leave", "asked the process to end"), ("leave at once", "ended with status 0 before it answered")],
)
def test_a_decoder_that_ends_its_process_is_told_in_words(item: str, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        call_in_worker(pool_tasks.panic, item)


def test_large_arrays_come_through() -> None:
    (result,) = map_in_workers(pool_tasks.act, ["array"], workers=1)
    assert isinstance(result, Done)
    np.testing.assert_array_equal(result.value, np.arange(3_000_000))


def test_the_initializer_runs_in_every_worker() -> None:
    results = map_in_workers(
        pool_tasks.act, ["prepared"] * 6, workers=2, initializer=pool_tasks.prepare, initargs=(7,)
    )
    assert all(isinstance(result, Done) and result.value == 7 for result in results)


def test_workers_hold_no_torch_and_nothing_that_fetches_and_say_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    results = list(map_in_workers(pool_tasks.act, ["torch", "pydicom", "noise"], workers=1))
    assert results[:2] == [Done(0, False), Done(1, False)]
    assert "noise" not in capfd.readouterr().err


def test_items_are_taken_only_a_little_ahead() -> None:
    taken = []

    def items() -> Iterator[int]:
        for index in range(1000):
            taken.append(index)
            yield index

    results = map_in_workers(pool_tasks.act, items(), workers=2, ahead=6)
    next(results)
    time.sleep(0.3)
    assert len(taken) <= 8
    results.close()  # type: ignore[attr-defined]


def test_work_goes_on_while_the_caller_is_busy(tmp_path: Path) -> None:
    items = [(number, str(tmp_path)) for number in range(8)]
    results = map_in_workers(pool_tasks.marked, items, workers=2, ahead=8)
    next(results)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 8:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(list(results)) == 7


def test_an_error_in_the_items_reaches_the_caller() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("lost")

    results = map_in_workers(pool_tasks.act, items(), workers=1)
    with pytest.raises(KeyError, match="lost"):
        list(results)


def test_a_function_of_main_is_refused_plainly() -> None:
    def inside(item: int) -> int:
        return item

    inside.__module__ = "__main__"
    with pytest.raises(ValueError, match="lives in __main__"):
        map_in_workers(inside, [1], workers=1)


def test_closing_early_leaves_no_process() -> None:
    results = map_in_workers(pool_tasks.process, range(1000), workers=2)
    processes = set()
    for result in results:
        assert isinstance(result, Done)
        processes.add(result.value)
        if len(processes) == 2:
            break
    results.close()  # type: ignore[attr-defined]
    assert len(processes) == 2
    assert eventually_gone(processes)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ending_the_parent_leaves_no_process_even_where_a_decoder_hangs(
    tmp_path: Path, how: signal.Signals
) -> None:
    script = textwrap.dedent(
        f"""
        import signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import pool_tasks
        from secondread.images.workers.map_in_workers import map_in_workers
        list(map_in_workers(pool_tasks.mark_and_hang, [{str(tmp_path)!r}] * 4, workers=2))
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        workers = {int(path.name) for path in tmp_path.iterdir()}
        assert len(workers) == 2
        os.kill(parent.pid, how)
        parent.wait(timeout=60)
        assert eventually_gone(workers)
        if how == signal.SIGINT:
            assert parent.stderr is not None
            assert b"KeyboardInterrupt" in parent.stderr.read()
    finally:
        parent.kill()
        parent.communicate()
