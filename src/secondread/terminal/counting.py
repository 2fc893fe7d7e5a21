"""A bar on a terminal, one line elsewhere, for work that is counted in images."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def counting(what: str, *, shown: bool, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Within the block, call what it gives with the number done (and, where it changes, the total).

    On a terminal a bar moves on stderr; elsewhere one line says at the end how many and how long.
    """
    begun = time.monotonic()
    last = 0

    def note(done: int, of: int | None = None) -> None:
        nonlocal last
        last = done

    if not shown:
        yield note
        return
    if not sys.stderr.isatty():
        yield note
        print(f"{what}: {last} images in {time.monotonic() - begun:.1f} s", file=sys.stderr, flush=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)

        def move(done: int, of: int | None = None) -> None:
            bar.update(task, completed=done, total=total if of is None else of)

        yield move
