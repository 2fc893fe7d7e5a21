"""How much memory this machine and its control group give."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil


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
