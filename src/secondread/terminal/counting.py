"""A bar on a terminal, one line elsewhere, for work that is counted in images."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from secondread.terminal.events import log_event
from secondread.terminal.notebook import NotebookBar, in_notebook
from secondread.terminal.streams import watched

Note = Callable[..., None]


@contextmanager
def counting(what: str, *, shown: bool, total: int | None = None) -> Iterator[Note]:
    """Within the block, call what it gives with the number done (and, where it changes, the total).

    On a terminal a bar moves on stderr, and in a notebook below the cell; elsewhere one line says at the end
    how many and how long. Either way a log is told.
    """
    begun = time.monotonic()
    last = 0
    kept = NotebookBar(what, total) if shown and in_notebook() else None
    moves = shown and kept is None and watched()
    with _moving(what, total) if moves else nullcontext(None if kept is None else kept.move) as move:

        def note(done: int, of: int | None = None) -> None:
            nonlocal last
            last = done
            if move is not None:
                move(done, of)

        yield note
    seconds = time.monotonic() - begun
    log_event(f"{what} ended", images=last, seconds=round(seconds, 3))
    line = f"{what}: {last} images in {seconds:.1f} s"
    if kept is not None:
        kept.close(line)
    elif shown and not moves:
        print(line, file=sys.stderr, flush=True)


@contextmanager
def _moving(what: str, total: int | None) -> Iterator[Note]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)

        def move(done: int, of: int | None = None) -> None:
            bar.update(task, completed=done, total=total if of is None else of)

        yield move
