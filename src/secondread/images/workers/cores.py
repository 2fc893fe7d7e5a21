"""How many processes may work side by side."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

SYSTEM = Path("/")


def available_cores(system: Path = SYSTEM) -> int:
    """Processor cores that this process may use: those it may run on, and no more than its control groups
    (a container's limit) give it time for."""
    cores = len(_numbers())
    return max(1, min([cores, *map(math.floor, _quotas(system))]))


def physical_cores(system: Path = SYSTEM) -> int:
    """The same, where the two threads of one core count as one, as they compute no faster than it."""
    cores = set()
    for number in _numbers():
        try:
            topology = system / f"sys/devices/system/cpu/cpu{number}/topology"
            cores.add((topology / "thread_siblings_list").read_text(encoding="ascii").strip())
        except (OSError, ValueError):
            return available_cores(system)
    return min(len(cores), available_cores(system))


def _numbers() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _quotas(system: Path) -> Iterator[float]:
    """Cores' worth of time that each control group of this process gives, of version 2 or 1."""
    try:
        lines = (system / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            top, read = system / "sys/fs/cgroup", _quota
        elif "cpu" in controllers.split(","):
            top, read = system / "sys/fs/cgroup/cpu", _old_quota
        else:
            continue
        group = top / name.lstrip("/")
        for folder in (group, *group.parents):
            if (quota := read(folder)) is not None:
                yield quota
            if folder == top:
                break


def _quota(folder: Path) -> float | None:
    try:
        given, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return int(given) / int(period)
    except (OSError, ValueError):
        return None  # "max", or a group that is not to be seen from a container


def _old_quota(folder: Path) -> float | None:
    try:
        given, period = (
            int((folder / f"cpu.cfs_{part}_us").read_text(encoding="ascii")) for part in ("quota", "period")
        )
    except (OSError, ValueError):
        return None
    return given / period if given > 0 and period > 0 else None
