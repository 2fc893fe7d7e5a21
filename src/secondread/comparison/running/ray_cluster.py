"""Tasks of a comparison on a Ray cluster, or under a Ray of this machine's own.

Needs the extra `ray` here and on every machine of the cluster, and the comparison's folder,
manifest and images under the same paths everywhere.
"""

from __future__ import annotations

import contextlib
import os
import socket
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from secondread.clusters.joined import connected, import_ray
from secondread.clusters.machines import RETRIES, alive, go_to, refuse_too_small, refuse_unshared
from secondread.comparison.running.one_run import LOG, Task, work
from secondread.comparison.running.run_memory import expected_bytes
from secondread.comparison.running.task_display import Show
from secondread.preprocessing.cache.place import open_cache
from secondread.terminal.interruption import StopRequest

LOOK_SECONDS = 0.5


def run_on_ray(
    tasks: Sequence[Task], *, address: str, threads: int = 1, show: Show, cores: int | None = None
) -> None:
    """Do the tasks that have no result yet. One that fails leaves its reason and the others go on.

    address  of a cluster (`auto`, `HOST:6379`), or `local`: start Ray on this machine
    threads  processor cores that Ray sets aside for each task
    cores    that a `local` Ray may use; none = all that this process may use

    A task whose worker is killed is begun again by Ray, on any machine, and goes on from its last checkpoint.
    On Ctrl-C and SIGTERM the workers save and end, then KeyboardInterrupt is raised. Nothing is sent to
    Ray's makers, and no dashboard is started. Raises UserError where Ray is missing or cannot be reached,
    where a machine does not see the folder or has another secondread, and where none has enough cores.
    """
    waiting = [_absolute(task) for task in tasks if not task.done]
    if not waiting:
        return
    ray = import_ray()
    with connected(ray, address, cores):
        nodes = alive(ray)
        memory = refuse_too_small(nodes, threads)
        folder = Path(os.path.commonpath([task.folder for task in waiting]))
        refuse_unshared(ray, nodes, folder, [waiting[0].manifest])
        gpus = ray.cluster_resources().get("GPU", 0) > 0
        for cache in sorted({task.cache for task in waiting if task.cache}):
            open_cache(cache)
        with StopRequest() as stop:
            at_once = max(1, int(ray.cluster_resources()["CPU"]) // threads)
            show.begin(waiting, min(at_once, len(waiting)))
            try:
                _Cluster(ray, waiting, threads, memory, gpus, show).work(stop)
            finally:
                show.finish()


class _Cluster:
    """The tasks as Ray has them: each one a call in a process of its own."""

    def __init__(
        self, ray: Any, tasks: Sequence[Task], threads: int, memory: float, gpus: bool, show: Show
    ) -> None:
        self.ray, self.show = ray, show
        self.calls: dict[Any, Task] = {}
        self.lengths: dict[str, int] = {}
        self.seen: set[str] = set()
        do = ray.remote(max_calls=1, max_retries=RETRIES)(_do)
        for task in tasks:
            task.write()
            self.lengths[task.folder] = _length(task)
            on_gpu = gpus and task.device != "cpu"
            settings = {
                "name": f"{task.place.parent.name} {task.place.name}",
                "num_cpus": threads,
                "num_gpus": 1 if on_gpu else 0,
                "memory": min(expected_bytes(task), memory),
            }
            sent = replace(task, device="cuda") if on_gpu else task
            self.calls[do.options(**settings).remote(sent, os.getcwd())] = task

    def work(self, stop: StopRequest) -> None:
        told = False
        while self.calls:
            if stop.requested and not told:
                told = True
                for call in self.calls:
                    self.ray.cancel(call, force=False)
            ended, _ = self.ray.wait(list(self.calls), timeout=LOOK_SECONDS)
            for task in self.calls.values():
                if task.folder not in self.seen and _length(task) > self.lengths[task.folder]:
                    self.seen.add(task.folder)
                    self.show.started(task)
            for call in ended:
                self.end(call, self.calls.pop(call), told)
            self.show.look()

    def end(self, call: Any, task: Task, stopping: bool) -> None:
        lost = ""
        try:
            self.ray.get(call)
        except Exception as error:
            lost = f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"
        if task.done:
            self.show.ended(task, "done")
        elif stopping:
            self.show.ended(task, "stopped")
        else:
            if lost or task.failed is None:
                task.note_failure(f"its worker on the cluster ended without a result ({lost})")
            self.show.ended(task, "failed", task.failed or "")


def _do(task: Task, folder: str) -> None:
    """In a worker: the task, with what it says in the run's log. What failed is kept by `one_run`."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    go_to(folder)
    with (
        (task.place / LOG).open("a", encoding="utf-8", buffering=1) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
        threadpool_limits(task.threads),
    ):
        print(f"process {os.getpid()} on {socket.gethostname()}")
        try:
            work(task)
        except Exception:
            traceback.print_exc()


def _absolute(task: Task) -> Task:
    return replace(
        task,
        folder=str(task.place.absolute()),
        manifest=str(Path(task.manifest).absolute()),
        cache=None if task.cache is None else str(Path(task.cache).absolute()),
    )


def _length(task: Task) -> int:
    with contextlib.suppress(OSError):
        return (task.place / LOG).stat().st_size
    return 0
