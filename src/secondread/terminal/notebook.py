"""Progress in a notebook: one output that is drawn anew in place, and stays as a line when the work is done.

It is IPython's own display, so it moves in Jupyter, in VS Code and wherever else a kernel runs, without
widgets, and the line stays in a notebook that is saved.
"""

from __future__ import annotations

import sys
import time
from html import escape
from typing import Any

from secondread.wording.durations import in_words

SECONDS_BETWEEN = 0.2


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook, and what is said reaches it."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel") and hasattr(sys.stderr, "pub_thread")


class NotebookBar:
    """A bar of what is done of `total`, a note beside it, and the time that is left."""

    def __init__(self, what: str, total: int | None = None) -> None:
        from IPython.display import display

        self._what, self._total, self._done, self._note = what, total, 0, ""
        self._begun = self._drawn = time.monotonic()
        self._handle: Any = display(self._shown(), raw=True, display_id=True)

    def move(self, done: int, of: int | None = None) -> None:
        self._done, self._total = done, self._total if of is None else of
        self._draw()

    def begin(self, what: str, total: int, done: int = 0) -> None:
        """Another task in the same place."""
        self._what, self._total, self._done = what, total, done
        self._begun = time.monotonic()
        self._draw()

    def advance(self, amount: int = 1) -> None:
        self.move(self._done + amount)

    def note(self, text: str) -> None:
        self._note = text
        self._draw()

    def close(self, line: str) -> None:
        """The line that stays."""
        self._handle.update({"text/plain": line, "text/html": f"<small>{escape(line)}</small>"}, raw=True)

    def _draw(self) -> None:
        now = time.monotonic()
        if now - self._drawn >= SECONDS_BETWEEN:
            self._drawn = now
            self._handle.update(self._shown(), raw=True)

    def _shown(self) -> dict[str, str]:
        of = "" if self._total is None else f"/{self._total:,}"
        text = f"{self._what} {self._done:,}{of}"
        if self._total and self._done:
            left = (time.monotonic() - self._begun) / self._done * (self._total - self._done)
            text += f", {in_words(left)} left"
        line = f"{text}  {self._note}".rstrip()
        bar = f'<progress max="{self._total}" value="{self._done}"></progress> ' if self._total else ""
        return {"text/plain": line, "text/html": f"{bar}<small>{escape(line)}</small>"}
