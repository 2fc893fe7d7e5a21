"""PaDiM from files to scores: this package's `padim` against anomalib 2.7's, each as commands of its own.

    python benchmarks/speed/against_anomalib/compare.py --environment FOLDER
    python benchmarks/speed/against_anomalib/compare.py --environment FOLDER --normals DIR --tests DIR

Both have ResNet-18 with random weights, layers 1 to 3, 100 of their channels, 256×256 pixels, as many
threads, and read files in the process that scores. Ours is asked as a bundle, by torch, and exported, by
ONNX Runtime; with `--preset` once more with the encoder and layers that the preset has (EfficientNet-Lite 0,
random weights). anomalib is asked in several ways (`theirs.py`), and its
fastest counts. A third number of a way is how many workers read files (`engine:32:8`, as its data module
`Folder` has it where nothing is said); where one is given, ours is asked with the workers that it takes by
itself, too. anomalib's environment is made in FOLDER if it is not there (6 GB from PyPI); where it cannot
be, that is told and nothing is compared. Without `--normals` and `--tests`, phantoms are drawn.

Contenders take turns, round by round; a figure is the least over the rounds. What comes once (interpreter,
imports, the fitted model) and what each image takes are told apart by scoring a part of the files and then
all. Processor seconds are the figures to compare on a machine with other work. Our fit also calibrates on
a part of the normals that it holds out, and fits three baselines, and our scoring asks these, too; anomalib's
does neither.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from environment import NoEnvironment, python_of
from watched import Cost, cost_of

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.scoring.bf16_speed import processor_name

THEIRS = Path(__file__).with_name("theirs.py")
WAYS = ("engine:1", "engine:32", "lean:1", "lean:8")
SAME = [
    "--set", "detector.encoder={name: resnet18, weights: random}", "--set", "detector.layers=null",
    "--set", "preprocessing.size=[256,256]",
]  # fmt: skip
PRESET = ["--set", "detector.encoder.weights=random"]
SECONDREAD = [sys.executable, "-m", "secondread"]
PICTURES = {".png", ".jpg", ".jpeg"}


@dataclass
class Contender:
    """score: the command that scores a folder of files."""

    name: str
    score: Callable[[Path, Path], list[str]]
    few: list[Cost] = field(default_factory=list)
    all: list[Cost] = field(default_factory=list)

    def processor(self, few: int, count: int) -> tuple[float, float]:
        """Processor seconds that come once, and for each image."""
        each = (least(self.all) - least(self.few)) / (count - few)
        return least(self.all) - each * count, each

    @property
    def memory(self) -> float:
        """GB."""
        return max(cost.memory for cost in self.all) / 1e9


def least(costs: Sequence[Cost]) -> float:
    return min(cost.processor for cost in costs)


def pictures(given: argparse.Namespace, place: Path) -> tuple[Path, Path, Path]:
    """Folders of normals, of a part of the files to score, and of all of them: copies, side by side."""
    if given.normals and given.tests:
        sources = [sorted(folder.rglob("*")) for folder in (given.normals, given.tests)]
        found = [[path for path in every if path.suffix.lower() in PICTURES] for every in sources]
    else:
        manifest = Manifest.read(
            make_phantoms(
                place / "phantoms", seed=0, n_normal=given.fit + given.score, n_abnormal=0,
                n_test_normal=given.score, size=(256, 256),
            )
        )  # fmt: skip
        found = [
            [Path(manifest.reference(row)) for row in manifest.rows if row.split == split]
            for split in ("train", "test")
        ]
    wanted = ((found[0], given.fit), (found[1], given.score // 5), (found[1], given.score))
    folders = []
    for name, (files, count) in zip(("normals", "few", "all"), wanted, strict=True):
        if len(files) < count:
            raise SystemExit(f"error: {count} {name} asked for, {len(files)} found")
        folder = place / name
        folder.mkdir()
        for path in files[:count]:
            shutil.copy(path, folder / path.name)
        folders.append(folder)
    return folders[0], folders[1], folders[2]


def manifest_of(normals: Path, file: Path) -> Path:
    with file.open("w", newline="") as table:
        rows = [(path, "train", "normal") for path in sorted(normals.iterdir())]
        csv.writer(table).writerows([("path", "split", "label"), *rows])
    return file


def contenders(python: Path, place: Path, models: Sequence[str], ways: Sequence[str]) -> list[Contender]:
    found = []
    workers = ["0", *{"auto" for way in ways if way.count(":") == 2}]
    for model, form, reading in product(models, ("torch", "exported"), workers):
        bundle = place / (model if form == "torch" else f"{model}-exported")

        def ask(files: Path, out: Path, bundle: Path = bundle, reading: str = reading) -> list[str]:
            asked = [*SECONDREAD, "score", str(bundle), str(files), "-o", str(out), "-q"]
            return [*asked, "--workers", reading] if reading != "auto" else asked

        found.append(Contender(f"{model}, {form}" + ", workers" * (reading == "auto"), ask))
    for way in ways:
        kind, batch, reading = [*way.split(":"), "0"][:3]
        asked = ["--way", kind, "--batch", batch, "--workers", reading]

        def command(files: Path, out: Path, asked: list[str] = asked) -> list[str]:
            return [str(python), str(THEIRS), "score", str(place / "state"), str(files), str(out), *asked]

        told = f", {reading} workers" * (reading != "0")
        found.append(Contender(f"anomalib, {kind}, batch {batch}{told}", command))
    return found


def tell_fits(fits: dict[str, Cost], count: int) -> None:
    print(f"| fit on {count} normals | processor, s | wall, s | peak memory, GB |\n| --- | --- | --- | --- |")
    for name, cost in fits.items():
        print(f"| {name} | {cost.processor:.1f} | {cost.wall:.1f} | {cost.memory / 1e9:.2f} |", flush=True)


def tell_scores(every: Sequence[Contender], few: int, count: int) -> None:
    print(
        f"\n| score {count} files | once, s | each image, ms | images/s | with what comes once | wall, s "
        "| peak memory, GB |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for one in every:
        once, each = one.processor(few, count)
        wall = min(cost.wall for cost in one.all)
        print(
            f"| {one.name} | {once:.1f} | {1000 * each:.1f} | {1 / each:.1f} | {count / least(one.all):.1f} "
            f"| {wall:.1f} | {one.memory:.2f} |"
        )
    theirs = [one for one in every if one.name.startswith("anomalib")]
    best = min(theirs, key=lambda one: one.processor(few, count)[1])
    whole = min(theirs, key=lambda one: least(one.all))
    small, large = (extreme(theirs, key=lambda one: one.memory) for extreme in (min, max))
    for ours in (one for one in every if one not in theirs):
        faster = best.processor(few, count)[1] / ours.processor(few, count)[1]
        print(
            f"\n{ours.name}: images per processor second: {faster:.2f} times anomalib's best ({best.name}); "
            f"with what comes once {least(whole.all) / least(ours.all):.2f} times ({whole.name})\n"
            f"peak memory: 1/{small.memory / ours.memory:.1f} of anomalib's least ({small.name}), "
            f"1/{large.memory / ours.memory:.1f} of its most ({large.name})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--environment", type=Path, required=True, help="anomalib's, made where it is not there"
    )
    parser.add_argument("--normals", type=Path, help="folder of normal pictures")
    parser.add_argument("--tests", type=Path, help="folder of pictures to score")
    parser.add_argument("--fit", type=int, default=200, help="how many normals")
    parser.add_argument("--score", type=int, default=400, help="how many pictures to score")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--preset", action="store_true", help="ours as the preset has it, too")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), metavar="WAY:BATCH[:WORKERS]")
    given = parser.parse_args()
    try:
        python = python_of(given.environment)
    except NoEnvironment as error:
        raise SystemExit(f"anomalib's environment cannot be made, so nothing is compared: {error}") from None
    environment = {
        "OMP_NUM_THREADS": str(given.threads),
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONDONTWRITEBYTECODE": "",  # pip compiles what it installs, and not this working copy
    }
    print(f"{processor_name()}, {given.threads} thread(s), load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        normals, few, every = pictures(given, place)
        manifest = manifest_of(normals, place / "manifest.csv")
        fits, log = {}, place / "fit.log"
        models = {"ours": SAME} | ({"our preset": PRESET} if given.preset else {})
        for model, settings in models.items():
            bundle = place / model
            mine = [*SECONDREAD, "fit", "padim", str(manifest), "-o", str(bundle), *settings]
            mine += ["--workers", "0", "--cache", str(place / "cache"), "-q"]
            fits[model] = cost_of(mine, environment, log)
            export = [*SECONDREAD, "export", str(bundle), "-o", f"{bundle}-exported", "-q"]
            cost_of(export, environment, place / "export.log")
        theirs = [str(python), str(THEIRS), "fit", str(normals), str(place / "state")]
        fits["anomalib"] = cost_of(theirs, environment, log)
        tell_fits(fits, given.fit)
        found = contenders(python, place, list(models), given.ways)
        for number in range(given.rounds):
            for one in found:
                for files, costs in ((few, one.few), (every, one.all)):
                    out = place / f"{found.index(one)}-{files.name}-{number}"
                    costs.append(cost_of(one.score(files, out), environment, place / "score.log"))
        tell_scores(found, given.score // 5, given.score)


if __name__ == "__main__":
    main()
