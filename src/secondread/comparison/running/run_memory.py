"""How much memory runs take."""

from __future__ import annotations

import contextlib
import json

import psutil

from secondread.comparison.running.one_run import MEASURED, Task

DEFAULT_BYTES = 2 << 30
"""What a run is taken to need while none of its method has been measured."""
SHARE = 0.8
"""Part of the available memory that runs may take unless told otherwise."""


def resident_bytes(process: int) -> int:
    """Resident memory of a process and of all that it started; 0 where it is gone.

    Pages that several of them share (libraries) are counted for each: an upper bound.
    """
    total = 0
    with contextlib.suppress(psutil.Error):
        first = psutil.Process(process)
        for each in (first, *first.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += each.memory_info().rss
    return total


def expected_bytes(task: Task) -> int:
    """The highest peak that was noted for a run of the same method, or `DEFAULT_BYTES`."""
    peaks = []
    for file in task.place.parent.glob(f"*/{MEASURED}"):
        with contextlib.suppress(OSError, ValueError):
            noted = json.loads(file.read_text(encoding="utf-8"))
            peaks.append(int(max(noted["peak"], noted.get("peak_evaluated", 0))))
    return max(peaks, default=DEFAULT_BYTES)
