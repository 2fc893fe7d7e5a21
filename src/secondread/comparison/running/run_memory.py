"""How much memory runs take, and how much this machine has for them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

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


def available_bytes() -> int:
    """What can be taken without swapping, as this machine and its control group allow."""
    free = int(psutil.virtual_memory().available)
    return min([free, *(limit - used for limit, used in _group_limits())])


def _group_limits(
    root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> list[tuple[int, int]]:
    """(limit, used) of this process's Linux control group and of those above it; used without file cache
    that the system would give back."""
    found = []
    with contextlib.suppress(OSError):
        for line in own.read_text(encoding="utf-8").splitlines():
            _, controllers, place = line.split(":", 2)
            if controllers == "":
                first, names = root, ("memory.max", "memory.current", "inactive_file")
            elif "memory" in controllers.split(","):
                first = root / "memory"
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            else:
                continue
            group = first / place.strip("/")
            while True:
                found.extend(_limit(group, *names))
                if group == first:
                    break
                group = group.parent
    return found


def _limit(group: Path, limit: str, used: str, idle: str) -> list[tuple[int, int]]:
    with contextlib.suppress(OSError, ValueError):
        allowed = int((group / limit).read_text())
        facts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return [(allowed, int((group / used).read_text()) - int(facts.get(idle, 0)))]
    return []
