"""What a comparison of several recipes and seeds computes: images through encoders, files prepared, and
processor time, of all runs together and of each.

    python benchmarks/speed/features/compare_sharing.py MANIFEST --seeds 2 --films 32

The images are the first of the manifest's training normals and of its test rows; runs go one after another
in this process. With `--alone` each run has a cache of its own, as if there were no other. Run it with
another revision's `PYTHONPATH` to compare two.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from secondread.cohorts.manifest import Manifest
from secondread.comparison.compare import How, run_plan
from secondread.comparison.running.here import run_here
from secondread.comparison.running.one_run import Task
from secondread.comparison.running.plan import Plan
from secondread.comparison.running.task_display import Quiet
from secondread.networks.pretrained import PretrainedEncoder
from secondread.preprocessing.cache import cache as prepared
from secondread.scoring.bf16_speed import processor_name

counted: Counter[str] = Counter()


def counting(forward: Callable[..., Any]) -> Callable[..., Any]:
    def counted_forward(self: PretrainedEncoder, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if not images.is_meta:
            counted["images"] += len(images)
        return forward(self, images)

    return counted_forward


def storing(store: Callable[..., None]) -> Callable[..., None]:
    def counted_store(*given: Any, **named: Any) -> None:
        counted["prepared"] += 1
        store(*given, **named)

    return counted_store


def one_by_one(tasks: Sequence[Task], alone: Path | None) -> None:
    for number, task in enumerate(tasks):
        before, begun = counted.copy(), time.process_time()
        run_here([replace(task, cache=str(alone / str(number))) if alone else task], show=Quiet())
        spent = time.process_time() - begun
        made = counted - before
        place = "/".join(task.place.parts[-2:])
        print(f"| {place} | {made['images']} | {made['prepared']} | {spent:.1f} |", flush=True)
        counted["seconds"] += round(1000 * spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--recipes", nargs="+", default=["padim", "patchcore", "k-nn"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--films", type=int, default=32, help="of each of three kinds")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--alone", action="store_true")
    given = parser.parse_args()
    PretrainedEncoder.forward = counting(PretrainedEncoder.forward)  # type: ignore[method-assign]
    prepared.Cache.store = storing(prepared.Cache.store)  # type: ignore[method-assign]
    whole = Manifest.read(given.manifest).with_absolute_paths()
    wanted = (("train", "normal"), ("test", "normal"), ("test", "abnormal"))
    rows = [
        row
        for split, label in wanted
        for row in whole.where(f"split={split}", f"label={label}").rows[: given.films]
    ]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        Manifest(tuple(rows), whole.base).write(place / "manifest.csv")
        manifest = Manifest.read(place / "manifest.csv")
        plan = Plan.of(manifest, given.recipes, seeds=range(given.seeds), settings=given.set, maps=False)
        how = How(device="cpu", workers=0, cache=place / "cache", bootstrap=20)
        print(f"{processor_name()}, torch {torch.__version__}\n")
        print("| run | images through encoders | files prepared | CPU s |\n| --- | --- | --- | --- |")
        run_plan(plan, place / "comparison", partial(one_by_one, alone=place if given.alone else None), how)
        kept = sum(file.stat().st_size for file in (place / "cache").rglob("features/*/*/*"))
    seconds = counted["seconds"] / 1000
    print(f"| all | {counted['images']} | {counted['prepared']} | {seconds:.1f} |")
    print(f"\n{kept / 2**20:.0f} MiB of what encoders said are kept")


if __name__ == "__main__":
    main()
