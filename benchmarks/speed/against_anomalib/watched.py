"""A command as a process of its own: its wall-clock and processor seconds, and its peak memory."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import psutil

EVERY_S = 0.5


@dataclass(frozen=True)
class Cost:
    """wall, processor: seconds, of the command and all that it started. memory: bytes, the most that one
    process of them ever had resident; where several ran at one time, at least the most that these had
    together (proportional set size, looked at twice a second)."""

    wall: float
    processor: float
    memory: int


def cost_of(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Cost:
    """Runs it, its output into `log`. `RuntimeError` with the log's end where it fails."""
    begun = time.perf_counter()
    with log.open("w") as file:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=file, stderr=subprocess.STDOUT
        )
        over, most = Event(), [0]
        looking = Thread(target=_look, args=(process.pid, over, most))
        looking.start()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        over.set()
        looking.join()
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        end = log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{' '.join(command)} ended with code {process.returncode}:\n{end}")
    return Cost(wall, used.ru_utime + used.ru_stime, max(most[0], 1024 * used.ru_maxrss))


def _look(pid: int, over: Event, most: list[int]) -> None:
    while not over.wait(EVERY_S):
        try:
            main = psutil.Process(pid)
            every = [main, *main.children(recursive=True)]
        except psutil.Error:
            return
        if len(every) > 1:  # asking is dear, and of one process alone the system keeps the most
            most[0] = max(most[0], sum(_bytes(process) for process in every))


def _bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0
