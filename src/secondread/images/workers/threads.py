"""How many threads a computation takes. No torch here, which reads the answer when it is imported.

Threads that wait for one another suffer most where something else runs: on two busy cores, two threads took
four to six times as long as one.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from secondread.images.workers.cores import physical_cores

VARIABLE = "OMP_NUM_THREADS"
LOOKS, BETWEEN_SECONDS = 3, 0.005
"""How often it is asked what runs at the moment; the middle answer stands."""


@dataclass(frozen=True)
class Threads:
    """A number, and why it is that."""

    number: int
    why: str


_taken: Threads | None = None


def threads_now(*, busy: float | None = None) -> Threads:
    """OMP_NUM_THREADS where it is set; else as many as the cores that this process may use (affinity, and the
    limit of a container), less those that other work keeps busy; one at least.

    busy  processors that other work keeps busy; none = as this machine says
    """
    if asked := _asked():
        return Threads(asked, f"{VARIABLE} is set")
    cores, every = physical_cores(), os.cpu_count() or 1
    busy = busy_processors() if busy is None else busy
    free = max(1, round(every - busy))
    if free < cores:
        return Threads(free, f"other work keeps {busy:.1f} of {every} processors busy")
    return Threads(cores, f"{cores} cores are free" if cores > 1 else "one core may be used")


def busy_processors() -> float:
    """By the load of the last minute and by what runs at the moment, whichever is less: the load alone would
    count a command of ours that has just ended."""
    if not hasattr(os, "getloadavg"):
        return 0.0
    load, running = os.getloadavg()[0], []
    try:
        for _ in range(LOOKS):
            now = Path("/proc/loadavg").read_text(encoding="ascii").split()[3]
            running.append(int(now.partition("/")[0]) - 1)  # without this process
            time.sleep(BETWEEN_SECONDS)
    except (OSError, ValueError, IndexError):
        return load
    return max(0.0, min(load, sorted(running)[LOOKS // 2]))


def take_threads(*, lasting: bool = False) -> None:
    """Decide for this process and those that it starts: OMP_NUM_THREADS, which torch, the libraries of linear
    algebra and ONNX Runtime's sessions heed. It comes before they are imported.

    lasting  whether the process goes on for days, of which what is busy now says nothing
    """
    global _taken
    _taken = threads_now(busy=0.0 if lasting else None)
    if not _asked():
        os.environ[VARIABLE] = str(_taken.number)


def threads() -> Threads:
    """What was decided when the command began; else, as in Python, what would be decided now."""
    return _taken or threads_now()


def _asked() -> int:
    """What OMP_NUM_THREADS says; 0 where it says nothing."""
    first = os.environ.get(VARIABLE, "").partition(",")[0].strip()
    return int(first) if first.isdecimal() else 0
