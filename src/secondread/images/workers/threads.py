"""How many threads a computation takes, and how they wait. No torch here, which reads both as it is imported.

The number follows from the cores alone and never from what else runs, so that one seed gives the same bits on
a busy machine as on an idle one. OpenMP's threads wait for one another by turning in a loop, unless they are
told otherwise; where other work runs, each then burns the time which the one it waits for would need. So they
are told to sleep while they wait.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from secondread.images.workers.cores import physical_cores

VARIABLE = "OMP_NUM_THREADS"
WAITING = "OMP_WAIT_POLICY"


@dataclass(frozen=True)
class Threads:
    """A number, and why it is that."""

    number: int
    why: str


def threads() -> Threads:
    """OMP_NUM_THREADS where it is set; else as many as the cores that this process may use (affinity, and the
    limit of a container)."""
    if asked := _asked():
        return Threads(asked, f"{VARIABLE} is set")
    cores = physical_cores()
    return Threads(cores, f"{cores} cores may be used" if cores > 1 else "one core may be used")


def take_threads() -> None:
    """Decide for this process and those that it starts, by the variables which torch, the libraries of linear
    algebra and ONNX Runtime's sessions heed. It comes before they are imported. What is set stands."""
    os.environ.setdefault(WAITING, "passive")
    if not _asked():
        os.environ[VARIABLE] = str(physical_cores())


def _asked() -> int:
    """What OMP_NUM_THREADS says; 0 where it says nothing."""
    first = os.environ.get(VARIABLE, "").partition(",")[0].strip()
    return int(first) if first.isdecimal() else 0
