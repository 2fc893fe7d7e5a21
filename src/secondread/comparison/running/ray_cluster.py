"""Tasks of a comparison on a Ray cluster, or under a Ray of this machine's own.

Needs the extra `ray` here and on every machine of the cluster, and the comparison's folder,
manifest and images under the same paths everywhere.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from secondread.comparison.running.one_run import LOG, Task, work
from secondread.comparison.running.run_memory import expected_bytes
from secondread.comparison.running.task_display import Show
from secondread.errors import UserError
from secondread.images.workers.cores import available_cores
from secondread.outputs.private import make_folder
from secondread.preprocessing.cache.place import open_cache
from secondread.terminal.interruption import StopRequest
from secondread.version import __version__
from secondread.wording.extras import install_command
from secondread.wording.lists import few

LOCAL = "local"
RETRIES = 3
"""How often a task is begun again whose worker or machine died."""
LOOK_SECONDS = 0.5
REACH_SECONDS = 10.0
OBJECT_STORE_BYTES = 100 << 20


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
    with _connected(ray, address, cores):
        nodes = [node for node in ray.nodes() if node["Alive"]]
        memory = _refuse_too_small(nodes, threads)
        _refuse_unshared(ray, nodes, waiting)
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


def import_ray() -> Any:
    """The module `ray`, set to send nothing; UserError where it is not installed."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise UserError(f"--ray needs Ray ({error}): {install_command('ray')}") from error
    logging.getLogger("ray").propagate = True  # Ray keeps its warnings from every log but its own
    return ray


@contextmanager
def _connected(ray: Any, address: str, cores: int | None) -> Iterator[None]:
    """Ray for the block, quiet as long as it runs; one that the caller has begun is used and left alone."""
    if ray.is_initialized():
        yield
        return
    settings: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
    if address == LOCAL:
        settings |= {
            "num_cpus": cores or available_cores(),
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
    else:
        _refuse_unreachable(address)
    logger = logging.getLogger("ray")
    level = logger.level
    try:
        try:
            ray.init(**settings)
        except Exception as error:
            raise UserError(f"--ray {address}: cannot be reached ({_why_refused(error)})") from error
        yield
    finally:
        ray.shutdown()
        logger.setLevel(level)


def _why_refused(error: BaseException) -> str:
    """What Ray's error says; where the cluster asked for a token, how to give one."""
    chain: BaseException | None = error
    while chain is not None:
        if "InvalidAuthToken" in str(chain):
            return "it asks for a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the cluster's own"
        chain = chain.__cause__
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _refuse_unreachable(address: str) -> None:
    """UserError where nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or not host or "/" in host:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except OSError as error:
        raise UserError(f"--ray {address}: cannot be reached ({error.strerror or error})") from error


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

    with contextlib.suppress(OSError):
        os.chdir(folder)
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


def _refuse_too_small(nodes: Sequence[dict[str, Any]], threads: int) -> float:
    """Memory of the largest machine in bytes; UserError where no machine has `threads` cores."""
    cores = max((node["Resources"].get("CPU", 0) for node in nodes), default=0)
    if cores < threads:
        raise UserError(
            f"no machine of the Ray cluster has {threads} cores (the largest has {cores:g}); "
            "give fewer --threads"
        )
    able = [node for node in nodes if node["Resources"].get("CPU", 0) >= threads]
    return max(float(node["Resources"].get("memory", 0)) for node in able)


def _refuse_unshared(ray: Any, nodes: Sequence[dict[str, Any]], tasks: Sequence[Task]) -> None:
    """UserError where a machine of the cluster lacks the folder, the manifest or this secondread."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    folder = Path(os.path.commonpath([task.folder for task in tasks]))
    make_folder(folder)
    marker = folder / f".seen-{secrets.token_hex(8)}"
    marker.touch()
    look = ray.remote(num_cpus=0, max_retries=RETRIES)(lacks)
    try:
        looks = [
            (
                node["NodeManagerHostname"],
                look.options(
                    scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                ).remote(str(marker), tasks[0].manifest, __version__),
            )
            for node in nodes
            if node["Resources"].get("CPU", 0)
        ]
        missing = []
        for host, call in looks:
            try:
                missing += [f"{host} {lack}" for lack in ray.get(call)]
            except Exception as error:
                said = str(error).strip().splitlines()[-1]
                missing.append(f"{host} cannot load secondread {__version__} ({said})")
    finally:
        marker.unlink(missing_ok=True)
    if missing:
        raise UserError(
            f"{few(missing)}; every machine of the Ray cluster needs the same paths and the same secondread"
        )


def lacks(marker: str, manifest: str, version: str) -> list[str]:
    """What the machine that this runs on does not have, in words."""
    found = []
    if not Path(marker).is_file():
        found.append(f"does not see the folder {Path(marker).parent}")
    if not Path(manifest).is_file():
        found.append(f"does not see {manifest}")
    if __version__ != version:
        found.append(f"has secondread {__version__}, not {version}")
    return found
