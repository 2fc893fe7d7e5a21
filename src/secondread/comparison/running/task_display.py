"""How a comparison shows itself: the whole and each run on a terminal, one line per event elsewhere."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from secondread.comparison.running.one_run import LOG, Task
from secondread.terminal.events import log_event
from secondread.terminal.notebook import NotebookBar, in_notebook
from secondread.terminal.streams import watched
from secondread.wording.durations import in_words

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

End = Literal["done", "failed", "again", "stopped"]
_TAIL_BYTES = 4096


class Show(Protocol):
    """What the execution of a comparison tells, from one thread."""

    def begin(self, tasks: Sequence[Task], at_once: int) -> None:
        """These are to be done, so many at a time."""

    def started(self, task: Task) -> None:
        """Its process is at work."""

    def look(self) -> None:
        """Time has passed; called a few times a second."""

    def ended(self, task: Task, how: End, why: str = "") -> None:
        """`again`: it was ended from outside and will be taken up again."""

    def finish(self) -> None:
        """Nothing more comes."""


def showing(shown: bool) -> Show:
    """Lines that move on a terminal, a bar in a notebook, one line per event elsewhere, nothing where not
    `shown`."""
    if not shown:
        return Quiet()
    if in_notebook():
        return InNotebook()
    if not watched():
        return Lines(sys.stderr)
    from rich.console import Console

    return Moving(Console(stderr=True))


def name_of(task: Task) -> str:
    """`ae seed-0`."""
    return f"{task.place.parent.name} {task.place.name}"


def last_line(file: Path) -> str:
    """The last line of a log that is not empty."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((" ".join(line.split()) for line in reversed(lines) if line.strip()), "")


@dataclass
class Count:
    """Which tasks are done, under way and to come, and how long those of each method took."""

    at_once: int = 1
    left: dict[str, Task] = field(default_factory=dict)
    total: int = 0
    failed: int = 0
    begun: float = field(default_factory=time.monotonic)
    running: dict[str, float] = field(default_factory=dict)
    took: dict[str, list[float]] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return self.total - len(self.left)

    def end(self, task: Task, how: End) -> float:
        """Seconds that it took."""
        seconds = time.monotonic() - self.running.pop(task.folder, time.monotonic())
        if how in ("done", "failed"):
            self.left.pop(task.folder, None)
        if how == "failed":
            self.failed += 1
        if how == "done":
            self.took.setdefault(task.place.parent.name, []).append(seconds)
        return seconds

    def seconds_left(self) -> float:
        """From the mean of each method's finished runs, and of all where a method has none; infinite
        before the first has finished."""
        every = [seconds for taken in self.took.values() for seconds in taken]
        if not every:
            return math.inf
        now, total = time.monotonic(), 0.0
        for folder, task in self.left.items():
            taken = self.took.get(task.place.parent.name, every)
            spent = now - self.running.get(folder, now)
            total += max(0.0, sum(taken) / len(taken) - spent)
        return total / max(1, min(self.at_once, len(self.left)))


class Quiet:
    """Tells a log what begins and ends, and a person nothing."""

    def begin(self, tasks: Sequence[Task], at_once: int) -> None:
        log_event("runs begin", runs=len(tasks), at_once=at_once)

    def started(self, task: Task) -> None:
        log_event("run started", run=name_of(task))

    def look(self) -> None:
        pass

    def ended(self, task: Task, how: End, why: str = "") -> None:
        log_event("run ended", run=name_of(task), how=how)

    def finish(self) -> None:
        pass


class Lines(Quiet):
    """One line when a run starts, and one when it ends."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.count = Count()

    def begin(self, tasks: Sequence[Task], at_once: int) -> None:
        super().begin(tasks, at_once)
        self.count = Count(at_once, {task.folder: task for task in tasks}, len(tasks))

    def started(self, task: Task) -> None:
        super().started(task)
        self.count.running[task.folder] = time.monotonic()
        self._say(f"started  {name_of(task)}")

    def ended(self, task: Task, how: End, why: str = "") -> None:
        super().ended(task, how, why)
        seconds = self.count.end(task, how)
        told = f": {why}" if why else ""
        whole = f"  ({self.count.done} of {self.count.total})" if how in ("done", "failed") else ""
        self._say(f"{how:<7}  {name_of(task)}  {in_words(seconds)}{whole}{told}")

    def _say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


class InNotebook(Quiet):
    """One bar of all runs, with those that are under way beside it."""

    def begin(self, tasks: Sequence[Task], at_once: int) -> None:
        self.count = Count(at_once, {task.folder: task for task in tasks}, len(tasks))
        self.bar = NotebookBar("runs", len(tasks))

    def started(self, task: Task) -> None:
        self.count.running[task.folder] = time.monotonic()
        self._tell()

    def ended(self, task: Task, how: End, why: str = "") -> None:
        self.count.end(task, how)
        self.bar.move(self.count.done)
        self._tell()
        if how == "failed":
            print(f"failed  {name_of(task)}: {why}", file=sys.stderr, flush=True)

    def finish(self) -> None:
        failed = f", {self.count.failed} failed" if self.count.failed else ""
        spent = in_words(time.monotonic() - self.count.begun)
        self.bar.close(f"{self.count.done} of {self.count.total} runs in {spent}{failed}")

    def _tell(self) -> None:
        places = [Path(folder) for folder in self.count.running]
        self.bar.note(", ".join(f"{place.parent.name} {place.name}" for place in places))


class Moving(Quiet):
    """The whole in one line, and each run that is under way in one of its own."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self.count = Count()
        self.live = Live(console=console, get_renderable=self.picture, refresh_per_second=4, transient=True)

    def begin(self, tasks: Sequence[Task], at_once: int) -> None:
        super().begin(tasks, at_once)
        self.count = Count(at_once, {task.folder: task for task in tasks}, len(tasks))
        self.live.start()

    def started(self, task: Task) -> None:
        super().started(task)
        self.count.running[task.folder] = time.monotonic()

    def ended(self, task: Task, how: End, why: str = "") -> None:
        super().ended(task, how, why)
        seconds = self.count.end(task, how)
        told = f": {why}" if why else ""
        self.live.console.print(
            f"{how:<7}  {name_of(task)}  {in_words(seconds)}{told}", markup=False, highlight=False
        )

    def finish(self) -> None:
        self.live.stop()

    def picture(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        count, now = self.count, time.monotonic()
        left = count.seconds_left()
        estimate = "" if math.isinf(left) or not count.left else f", about {in_words(left)} left"
        failed = f" ({count.failed} failed)" if count.failed else ""
        grid = Table.grid(padding=(0, 2))
        for _ in range(3):
            grid.add_column(no_wrap=True, overflow="ellipsis")
        whole = f"{count.done} of {count.total} runs{failed}"
        grid.add_row(Text(whole, "bold"), Text(in_words(now - count.begun)), Text(estimate.lstrip(", ")))
        for folder, begun in list(count.running.items()):
            place = Path(folder)
            grid.add_row(
                Text(f"{place.parent.name} {place.name}"),
                Text(in_words(now - begun)),
                Text(last_line(place / LOG)),
            )
        return grid
