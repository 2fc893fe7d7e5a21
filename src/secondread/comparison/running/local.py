"""Tasks of a comparison on this machine: each a process of its own, as many at once as cores and memory
allow."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from secondread.comparison.running.one_run import FAILED, INTERRUPTED, LOG, Task
from secondread.comparison.running.run_memory import SHARE, expected_bytes, resident_bytes
from secondread.comparison.running.task_display import Show
from secondread.images.workers.cores import available_cores
from secondread.images.workers.memory import available_bytes
from secondread.preprocessing.cache.place import open_cache
from secondread.terminal.interruption import StopRequest

ATTEMPTS = 2
"""How often a task is begun whose process was ended by a signal."""
LOOK_SECONDS = 0.1
MEASURE_SECONDS = 1.0
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def worker_command(task_file: Path) -> list[str]:
    """What does one task in a process that ends with this one."""
    return [
        sys.executable,
        "-P",
        "-m",
        "secondread.comparison.running.one_run",
        str(task_file),
        str(os.getpid()),
    ]


def run_locally(
    tasks: Sequence[Task],
    *,
    jobs: int | None = None,
    memory_bytes: int | None = None,
    show: Show,
    command: Callable[[Path], Sequence[str]] = worker_command,
    resident: Callable[[int], int] = resident_bytes,
) -> None:
    """Do the tasks that have no result yet. One that fails leaves its reason and the others go on.

    jobs          at once at most; none = as many as the cores allow, one where they work on a GPU
    memory_bytes  that they may take together; none = 80 % of what is available now. A task starts only
                  where its method's highest peak so far (2 GiB before there is one) fits beside what the
                  others take or took; one always runs
    command       of a task's process, from its task file
    resident      bytes that a process and its children hold

    A task whose process is ended from outside is begun once more and goes on from its last checkpoint. On
    Ctrl-C and SIGTERM the processes save and end, then KeyboardInterrupt is raised; a second Ctrl-C kills
    them.
    """
    waiting = [task for task in tasks if not task.done]
    if not waiting:
        return
    for cache in sorted({task.cache or "" for task in waiting}):
        open_cache(cache or None)
    jobs = default_jobs(waiting) if jobs is None else max(1, jobs)
    budget = int(SHARE * available_bytes()) if memory_bytes is None else memory_bytes
    with StopRequest() as stop:
        show.begin(waiting, min(jobs, len(waiting)))
        crew = _Crew(waiting, jobs, budget, show, command, resident)
        try:
            crew.work(stop)
        finally:
            crew.kill()
            show.finish()


def default_jobs(tasks: Sequence[Task]) -> int:
    """Cores by threads of a task; 1 where tasks work on a GPU. UserError for a device that is not there."""
    devices = {task.device for task in tasks} - {"cpu"}
    if devices:
        from secondread.scoring.device import choose_device

        if any(choose_device(device).type == "cuda" for device in devices):
            return 1
    return max(1, available_cores() // max(task.threads for task in tasks))


@dataclass
class _Process:
    """A task's process and the memory that it is reckoned with."""

    task: Task
    process: subprocess.Popen[bytes]
    expected: int
    resident: int = 0

    @property
    def needs(self) -> int:
        return max(self.expected, self.resident)


@dataclass
class _Crew:
    """What waits, what runs, and what was seen of either."""

    waiting: list[Task]
    jobs: int
    budget: int
    show: Show
    command: Callable[[Path], Sequence[str]]
    resident: Callable[[int], int]
    running: list[_Process] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)
    peaks: dict[Path, int] = field(default_factory=dict)
    measured_at: float = 0.0

    def work(self, stop: StopRequest) -> None:
        told = False
        while self.running or (self.waiting and not told):
            if stop.requested and not told:
                told = True
                for each in self.running:
                    each.process.send_signal(signal.SIGINT)
            if not told:
                self.measure()
                self.start()
            time.sleep(LOOK_SECONDS)
            for each in [each for each in self.running if each.process.poll() is not None]:
                self.running.remove(each)
                self.end(each, told)
            self.show.look()

    def start(self) -> None:
        """Start what fits, in order; what is too large now waits while smaller ones go on."""
        for task in list(self.waiting):
            if len(self.running) >= self.jobs:
                return
            expected = max(expected_bytes(task), self.peaks.get(task.place.parent, 0))
            taken = sum(each.needs for each in self.running)
            if self.running and taken + expected > self.budget:
                continue
            self.waiting.remove(task)
            self.attempts[task.folder] = self.attempts.get(task.folder, 0) + 1
            self.running.append(_Process(task, self.launch(task), expected))
            self.show.started(task)

    def launch(self, task: Task) -> subprocess.Popen[bytes]:
        """The process, in a session of its own so that a terminal's Ctrl-C reaches it once, from here."""
        command = self.command(task.write())
        (task.place / FAILED).unlink(missing_ok=True)
        with (task.place / LOG).open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(task.threads))},
            )

    def measure(self) -> None:
        if time.monotonic() - self.measured_at < MEASURE_SECONDS:
            return
        for each in self.running:
            each.resident = self.resident(each.process.pid)
            method = each.task.place.parent
            self.peaks[method] = max(each.resident, self.peaks.get(method, 0))
        self.measured_at = time.monotonic()

    def end(self, ended: _Process, stopping: bool) -> None:
        task, status = ended.task, ended.process.returncode
        by = "SIGINT or SIGTERM" if status == INTERRUPTED else _signal(status) if status < 0 else None
        self.measured_at = 0.0
        if task.done:
            self.show.ended(task, "done")
        elif stopping:
            self.show.ended(task, "stopped")
        elif by and self.attempts[task.folder] < ATTEMPTS:
            self.waiting.append(task)
            self.show.ended(task, "again", f"its process was ended by {by}")
        else:
            if by or task.failed is None:
                how = f"was ended by {by}" if by else f"ended with status {status}"
                task.note_failure(f"its process {how} (see {task.place / LOG})")
            self.show.ended(task, "failed", task.failed or "")

    def kill(self) -> None:
        for each in self.running:
            each.process.kill()
        for each in self.running:
            each.process.wait()


def _signal(status: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"
