"""The same small comparison with one worker and with two, on this machine and under Ray: ratio of times,
and whether the scores are equal.

Autoencoders on drawn films, one thread each. All times are of one invocation, one after the other; other work
on the machine lowers the ratio. Ray's times hold its start (a few seconds, the same for one and two).

    python benchmarks/speed/compare_workers.py --runs 4 --epochs 150
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

from secondread.cohorts.phantoms.make import make_phantoms
from secondread.comparison.running.local import run_locally
from secondread.comparison.running.one_run import Task
from secondread.comparison.running.task_display import Quiet
from secondread.readings.readings import Readings
from secondread.recipes.recipe import Recipe

SETTINGS = (
    "preprocessing.size=[32,32]",
    "cohorts.validation=0.2",
    "cohorts.calibration=0.3",
    "detector.network.width=8",
    "detector.network.hidden=64",
    "precision=float32",
    "stages.reconstruction.batch_size=16",
)


def tasks(folder: Path, manifest: Path, runs: int, epochs: int) -> list[Task]:
    recipe = Recipe.load("ae", set=[*SETTINGS, f"stages.reconstruction.epochs={epochs}"])
    return [
        Task(
            folder=str(folder / "runs" / "ae" / f"seed-{seed}"),
            manifest=str(manifest),
            recipe=recipe.model_copy(update={"seed": seed}).model_dump(mode="json"),
            maps=False,
            device="cpu",
            cache=str(manifest.parent / "cache"),
            bootstrap=20,
        )
        for seed in range(runs)
    ]


def scores(task: Task) -> dict[str, float | None]:
    return {row.path: row.score for row in Readings.read(task.place / "readings").rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--without-ray", action="store_true")
    given = parser.parse_args()
    ways = {"local": [partial(run_locally, jobs=workers) for workers in (1, 2)]}
    if not given.without_ray:
        from secondread.comparison.running.ray_cluster import run_on_ray

        ways["ray"] = [partial(run_on_ray, address="local", cores=workers) for workers in (1, 2)]
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        manifest = make_phantoms(place / "films", seed=1, n_normal=60, n_abnormal=10, size=(48, 48))
        first = None
        for way, both in ways.items():
            seconds = []
            for workers, execute in enumerate(both, start=1):
                mine = tasks(place / f"{way}-{workers}", manifest, given.runs, given.epochs)
                begun = time.perf_counter()
                execute(mine, show=Quiet())
                seconds.append(time.perf_counter() - begun)
                found = [scores(task) for task in mine]
                first = first or found
                equal = "equal" if found == first else "NOT equal"
                print(f"{way:<6} {workers} at once  {seconds[-1]:6.1f} s  scores {equal} to the first's")
            print(f"{way:<6} ratio {seconds[0] / seconds[1]:.2f}", flush=True)


if __name__ == "__main__":
    main()
