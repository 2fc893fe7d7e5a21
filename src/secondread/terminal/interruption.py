"""Ctrl-C and SIGTERM during a fit: finish the step, save, and say how to go on. No torch here."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class Interrupted(Exception):
    """A fit was asked to stop and its state is on disk. The message says how to resume; exit code 130."""


class StopRequest:
    """While entered, the first SIGINT or SIGTERM only sets `requested`; a second SIGINT stops at once
    (the checkpoints on disk stay whole). A request that nobody has heeded raises KeyboardInterrupt at the
    end. Outside the main thread signals are left as they are."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, signal.Handlers | object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in self.SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()
        if self.requested and kind is None:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
