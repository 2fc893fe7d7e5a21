"""Small runs of a comparison, and how a test waits for one to be under way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from secondread.comparison.running.one_run import LOG, Task
from secondread.outputs.lock import holder
from secondread.readings.readings import Readings
from secondread.recipes.recipe import Recipe

SHARED = ["preprocessing.size=[32,32]", "cohorts.validation=0.2", "cohorts.calibration=0.3"]
SMALL = ["detector.network.width=4", "detector.network.hidden=16", "precision=float32"]


def intensity_task(folder: Path, manifest: Path, seed: int = 0, workers: int = 0) -> Task:
    return _task(folder, manifest, "mean-intensity", SHARED, seed, workers)


def trained_task(folder: Path, manifest: Path, epochs: int, seed: int = 0, workers: int = 0) -> Task:
    """Without a worker to read its images, unless a test asks for one: each takes a second to start, several
    times in a run."""
    stage = [f"stages.reconstruction.{each}" for each in (f"epochs={epochs}", "batch_size=8")]
    return _task(folder, manifest, "ae", [*SHARED, *SMALL, *stage], seed, workers)


def _task(folder: Path, manifest: Path, name: str, settings: list[str], seed: int, workers: int) -> Task:
    recipe = Recipe.load(name, set=settings).model_copy(update={"seed": seed})
    return Task(
        folder=str(folder / "runs" / name / f"seed-{seed}"),
        manifest=str(manifest),
        recipe=recipe.model_dump(mode="json"),
        maps=False,
        device="cpu",
        cache=str(folder.parent / "cache"),
        workers=workers,
        bootstrap=20,
    )


def scores(task: Task) -> dict[str, float | None]:
    return {row.path: row.score for row in Readings.read(task.place / "readings").rows}


def wait_for(condition: Callable[[], bool], seconds: float = 240.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def epochs_told(task: Task) -> int:
    """Lines about epochs in the run's log, over all its sessions."""
    log = task.place / LOG
    return log.read_text().count(" epoch ") if log.is_file() else 0


@contextmanager
def until_epoch(task: Task, more: int = 3) -> Iterator[None]:
    """At the end of the block, wait until it has trained so many further epochs."""
    before = epochs_told(task)
    yield
    wait_for(lambda: epochs_told(task) >= before + more)


def process_of(task: Task) -> int:
    """The process that works, or worked last, on the task."""
    found = re.match(r"process (\d+) ", holder(task.place))
    assert found is not None
    return int(found[1])
