"""What a command costs: seconds by the clock and of the processor, and its largest resident memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

MEASURED = """
import json, os, subprocess, sys, time
begun = time.perf_counter()
process = subprocess.Popen(sys.argv[2:])
_, status, used = os.wait4(process.pid, 0)
took = time.perf_counter() - begun
with open(sys.argv[1], "w") as file:
    figures = [took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)]
    json.dump(figures, file)
"""
"""In a small process of its own: the system counts the memory of whoever started a process as its own."""


class Cost(NamedTuple):
    """wall, processor: seconds. memory: MiB. status: of its exit."""

    wall: float
    processor: float
    memory: float
    status: int


def process_cost(
    command: Sequence[str | Path], said: IO[bytes], environment: Mapping[str, str] | None = None
) -> Cost:
    """Of a command, whose output and errors go to the file `said`."""
    with tempfile.NamedTemporaryFile() as figures:
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", MEASURED, figures.name, *command],
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
            check=True,
        )
        return Cost(*json.load(figures))
