"""The main job, step by step, into one folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Literal

from secondread.cli.commands.readings.evaluate import summary
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.cohorts.split import split
from secondread.errors import DataError
from secondread.evaluation.evaluate import evaluate
from secondread.fitting.fit import fit
from secondread.outputs.folders import RECORD, output_folder
from secondread.outputs.run_record import RunRecord
from secondread.outputs.whole import remove_folder
from secondread.readings.score_into import score_into
from secondread.recipes.recipe import Recipe
from secondread.reports.report import write_report
from secondread.terminal.counting import counting

OWN = ("phantoms", "cache", "bundle", "bundle.partial", "readings", "report")
FILMS = (260, 60)
HEADS = (150, 40)
"""Phantoms drawn, (normal, abnormal)."""
BOOTSTRAP = 1000


def demonstrate(
    output: Path,
    *,
    data: Path | None,
    recipe: str,
    settings: Sequence[str],
    seed: int,
    device: str,
    workers: int | None,
    command: Sequence[str],
    say: Callable[[str], None],
    progress: bool,
) -> Path:
    """Phantoms (or `data`), fit, score with maps, evaluate; returns the report's path."""
    record = RunRecord("demo", command)
    chosen = Recipe.load(recipe, set=settings)
    if data is not None:
        Manifest.read(data)  # what is wrong with it is told before anything is written
    with output_folder(output, "demo"):
        record.write(output / RECORD, seed=seed, finished=False)
        clear(output)
        begun = time.monotonic()
        durations: dict[str, float] = {}

        def step(title: str) -> None:
            durations[title] = round(time.monotonic() - begun, 2)
            say(f"[{time.monotonic() - begun:5.1f} s] {title}")

        say("secondread: research use, not a medical device")
        step("images")
        manifest = phantoms(output, chosen, seed) if data is None else real(data, output, seed)
        tested = manifest.where("split=test")
        say(f"          {len(manifest.rows)} images, {len(tested.rows)} of them for the test")
        record.write(output / RECORD, digests={"manifest": manifest.digest}, finished=False)

        with one_thread() if data is None else nullcontext():
            step("fit")
            bundle = fit(
                chosen, manifest, output / "bundle",
                cache=output / "cache", device=device, workers=workers, seed=seed, progress=progress,
            )  # fmt: skip
            step("score")
            with counting("scoring", shown=progress, total=len(tested.rows)) as note:
                scored = score_into(
                    bundle,
                    tested,
                    output / "readings",
                    maps=True,
                    workers=workers,
                    command=command,
                    progress=note,
                )
        if scored.nothing_readable:
            raise DataError(f"{output / 'readings'}: none of {len(tested.rows)} test images can be read")
        step("evaluate")
        evaluation = evaluate(output / "readings" / "readings.csv", manifest, seed=seed, bootstrap=BOOTSTRAP)
        report = write_report(evaluation, output / "report", command=command)
        step("done")
        say(summary(evaluation.metrics()))
        record.write(
            output / RECORD,
            digests={"manifest": manifest.digest, "bundle": bundle.digest},
            durations=durations,
            finished=True,
        )
        return report


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread inside. Layers as small as those for phantoms gain little from a second, and
    on a busy machine threads that wait for each other took six times as long."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def clear(output: Path) -> None:
    """Remove what an earlier demonstration left, and nothing else."""
    for name in OWN:
        remove_folder(output / name)


def phantoms(output: Path, recipe: Recipe, seed: int) -> Manifest:
    """Phantoms of the recipe's rank: films, or heads."""
    rank: Literal[2, 3] = 3 if len(recipe.preprocessing.size) == 3 else 2
    normals, abnormals = HEADS if rank == 3 else FILMS
    path = make_phantoms(output / "phantoms", seed=seed, rank=rank, n_normal=normals, n_abnormal=abnormals)
    return Manifest.read(path)


def real(data: Path, output: Path, seed: int) -> Manifest:
    """The manifest, split by patient where it has no split yet."""
    manifest = Manifest.read(data)
    if any(row.split for row in manifest.rows):
        return manifest
    return Manifest.read(split(manifest, seed=seed, test=0.3).write(output / "manifest.csv"))
