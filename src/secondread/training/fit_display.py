"""How a fit shows itself: a bar on a terminal and in a notebook, one line per epoch elsewhere, nothing when
quiet. Each says now and then how long the whole fit will still take."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from secondread.terminal.notebook import NotebookBar, in_notebook
from secondread.terminal.streams import watched
from secondread.training.log import EpochLog
from secondread.training.planning.planned_stages import PlannedStage
from secondread.training.planning.time_left import TimeLeft
from secondread.wording.durations import in_words

SECONDS_BETWEEN_LINES = 60.0


class FitProgress:
    def __init__(self, shown: bool) -> None:
        self.shown = shown
        self.bar: Progress | None = None
        self.notebook = NotebookBar("training") if shown and in_notebook() else None
        self.last = ""
        self.left: TimeLeft | None = None
        self.told_at = time.monotonic()
        if shown and self.notebook is None and watched():
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[left]}"),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
            )
        self.task = self.bar.add_task("", total=None, note="", left="", visible=False) if self.bar else None

    def __enter__(self) -> Self:
        self.begun = time.monotonic()
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()
        if self.notebook:
            seconds = time.monotonic() - self.begun
            self.notebook.close(f"training: {in_words(seconds)}{'  ' * bool(self.last)}{self.last}")

    def plan(self, stages: Sequence[PlannedStage]) -> None:
        """All stages of the fit, in order: by these the time left is reckoned."""
        self.left = TimeLeft(stages)

    def share(self, share: float) -> None:
        """So much of the stage's rounds is done. The time left of the whole fit is shown every second on a
        terminal, and elsewhere in a line a minute."""
        now = time.monotonic()
        if (
            not self.shown
            or self.left is None
            or now - self.told_at < (1.0 if self.bar else SECONDS_BETWEEN_LINES)
        ):
            return
        seconds = self.left.seconds(share)
        if seconds is None:
            return
        self.told_at = now
        words = f"about {in_words(seconds)} left of the whole fit"
        if self.bar and self.task is not None:
            self.bar.update(self.task, left=words)
        else:
            self.say(words)

    def begin(self, what: str, total: int, done: int = 0) -> None:
        """A new task of `total` rounds or images."""
        if self.notebook:
            self.notebook.begin(what, total, done)
        if self.bar and self.task is not None:
            self.bar.reset(self.task, description=what, total=total, completed=done, visible=True, note="")

    def advance(self, amount: int = 1) -> None:
        if self.notebook:
            self.notebook.advance(amount)
        if self.bar and self.task is not None:
            self.bar.advance(self.task, amount)

    def epoch(self, stage: str, epoch: EpochLog, epochs: int) -> None:
        terms = "  ".join(f"{name} {value:.5g}" for name, value in epoch.losses.items())
        held_out = "" if epoch.validation is None else f"  held-out {epoch.validation:.5g}"
        measured = "".join(
            f"  {rule} {value:.3f}" for rule, value in epoch.measured.items() if value is not None
        )
        skipped = f"  skipped {epoch.skipped}" if epoch.skipped else ""
        rate = epoch.images / epoch.seconds if epoch.seconds else 0.0
        if self.bar and self.task is not None:
            self.bar.update(self.task, note=f"{terms}{held_out}{measured}{skipped}")
        elif self.notebook:
            self.last = f"{stage} {epoch.epoch + 1}/{epochs}  {terms}{held_out}{measured}{skipped}"
            self.notebook.note(f"{terms}{held_out}{measured}{skipped}")
        elif self.shown:
            self.say(
                f"stage {stage}  epoch {epoch.epoch + 1}/{epochs}  {terms}{held_out}{measured}{skipped}  "
                f"{rate:.0f} images/s"
            )

    def figures(self, stage: str, figures: Mapping[str, float]) -> None:
        self.say(f"stage {stage}  " + "  ".join(f"{name} {value:.5g}" for name, value in figures.items()))

    def say(self, line: str) -> None:
        if self.bar:
            self.bar.console.print(line, highlight=False)
        elif self.notebook:
            self.notebook.note(line)
        elif self.shown:
            print(line, file=sys.stderr, flush=True)
