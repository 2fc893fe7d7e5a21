"""What a comparison shows while it runs."""

from __future__ import annotations

import io
import math
import time
from pathlib import Path

from rich.console import Console

from secondread.comparison.running.one_run import LOG, Task
from secondread.comparison.running.task_display import Count, Lines, Moving, last_line
from secondread.wording.durations import in_words


def task(folder: Path, method: str, seed: int) -> Task:
    return Task(str(folder / "runs" / method / f"seed-{seed}"), "manifest.csv", {}, maps=False)


def test_elsewhere_than_on_a_terminal_each_event_is_a_line(tmp_path):
    told, first, second = io.StringIO(), task(tmp_path, "ae", 0), task(tmp_path, "padim", 0)
    show = Lines(told)
    show.begin([first, second], 2)
    show.started(first)
    show.started(second)
    show.ended(first, "done")
    show.ended(second, "failed", "no images")
    assert told.getvalue().splitlines() == [
        "started  ae seed-0",
        "started  padim seed-0",
        "done     ae seed-0  0 s  (1 of 2)",
        "failed   padim seed-0  0 s  (2 of 2): no images",
    ]


def test_a_terminal_shows_the_whole_and_the_last_line_of_each_run(tmp_path):
    first, second = task(tmp_path, "ae", 0), task(tmp_path, "ae", 1)
    first.place.mkdir(parents=True)
    (first.place / LOG).write_text("preparing\nstage reconstruction  epoch 3/250  loss 0.1\n\n")
    stream = io.StringIO()
    show = Moving(Console(file=stream, force_terminal=True, width=100))
    show.begin([first, second], 1)
    show.started(first)
    show.live.refresh()
    show.ended(first, "failed", "no [images]")
    show.finish()
    text = stream.getvalue()
    assert "0 of 2 runs" in text
    assert "stage reconstruction epoch 3/250 loss 0.1" in text
    assert "failed   ae seed-0  0 s: no [images]" in text


def test_the_time_left_is_reckoned_from_each_methods_finished_runs(tmp_path):
    tasks = [task(tmp_path, method, seed) for method in ("ae", "padim") for seed in (0, 1)]
    count = Count(2, {each.folder: each for each in tasks}, len(tasks))
    assert math.isinf(count.seconds_left())
    now = time.monotonic()
    count.running = {tasks[0].folder: now - 100, tasks[2].folder: now - 10}
    count.end(tasks[0], "done")
    count.end(tasks[2], "done")
    assert count.done == 2
    assert abs(count.seconds_left() - 110 / 2) < 1
    count.running[tasks[1].folder] = time.monotonic() - 60
    assert abs(count.seconds_left() - 50 / 2) < 1


def test_durations_in_words():
    assert [in_words(seconds) for seconds in (0.4, 59, 61, 3599.8, 7505)] == [
        "0 s", "59 s", "1 min 01 s", "1 h 00 min", "2 h 05 min",
    ]  # fmt: skip


def test_a_log_that_is_missing_or_empty_has_no_last_line(tmp_path):
    assert last_line(tmp_path / "none.txt") == ""
    (tmp_path / "log.txt").write_text("\n \n")
    assert last_line(tmp_path / "log.txt") == ""
