"""A bundle read by torch and the same bundle exported, read without: time to the first reading, images per
second, and peak memory, in one run on one machine.

Each figure is of a process of its own that runs `secondread score`: one film for the first reading, and all
films for the rate, which is of the images beyond the first. The two take turns, and the median stands.

    python benchmarks/speed/torch_free.py --preset ae --rounds 5

The detector is fitted for an epoch on phantoms made on the spot: enough for speed, not for sense.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "machines" / "before_and_since"))
from process_cost import process_cost

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.exporting.export import export, size_of
from secondread.fitting.fit import fit
from secondread.recipes.recipe import Recipe
from secondread.scoring.bf16_speed import processor_name


def scored(model: Path, inputs: list[str], out: Path, workers: int) -> tuple[float, float, float]:
    """Seconds by the clock, seconds of the processor, and peak memory in MB of this process."""
    command = [sys.executable, "-m", "secondread", "score", str(model), *inputs, "-o", str(out), "-q"]
    command += ["--workers", str(workers), "--device", "cpu"]
    with tempfile.TemporaryFile() as said:
        cost = process_cost(command, said)
        said.seek(0)
        if cost.status:
            raise SystemExit(f"{' '.join(command)} failed:\n{said.read().decode(errors='replace')}")
    return cost.wall, cost.processor, cost.memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", default="ae")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made = make_phantoms(folder / "phantoms", seed=1, n_normal=given.images, n_abnormal=0)
        manifest = Manifest.read(made)
        recipe = Recipe.load(given.preset, set=given.set)
        stages = {name: stage.model_copy(update={"epochs": 1}) for name, stage in recipe.stages.items()}
        bundle = fit(
            recipe.model_copy(update={"stages": stages}), manifest, folder / "bundle", progress=False
        )
        export(bundle, folder / "exported")
        films = [manifest.reference(row) for row in manifest.rows]
        models = {"torch": folder / "bundle", "without": folder / "exported"}
        took: dict[str, list[tuple[float, ...]]] = {name: [] for name in models}
        for number in range(given.rounds):
            for name, model in models.items():
                first = scored(model, films[:1], folder / f"first-{name}-{number}", given.workers)
                every = scored(model, films, folder / f"every-{name}-{number}", given.workers)
                rate = (len(films) - 1) / max(every[0] - first[0], 1e-9)
                took[name].append((*first, rate, every[2]))
        print(f"{processor_name()}, {len(os.sched_getaffinity(0))} cores, OMP_NUM_THREADS "
              f"{os.environ.get('OMP_NUM_THREADS', 'not set')}, load {os.getloadavg()[0]:.1f}")  # fmt: skip
        size = "x".join(map(str, recipe.preprocessing.size))
        print(f"{given.preset} on {size}; exported: {size_of(folder / 'exported')}; workers {given.workers}")
        print("| | first reading, s | of processor time, s | memory then, MB | images/s | most memory, MB |")
        print("|---|--:|--:|--:|--:|--:|")
        for name, rows in took.items():
            middle = [statistics.median(column) for column in zip(*rows, strict=True)]
            print(f"| {name} | {middle[0]:.2f} | {middle[1]:.2f} | {middle[2]:.0f} | {middle[3]:.1f} | "
                  f"{middle[4]:.0f} |")  # fmt: skip


if __name__ == "__main__":
    main()
