"""By how much bfloat16 moves each part of a detector's score, in standard deviations over normals.

    python benchmarks/machines/precision_drift.py MANIFEST aeflow padim --films 64 \\
        --set detector.encoder.weights=random

Each preset is fitted in float32 on some normals of a manifest, for a few steps of each stage where it has
any, and asked for the same held-out normals in float32 and in bfloat16. What is printed is the root mean
square of the difference over the standard deviation in float32; the bar is 1 %.

`--float32 PATH` keeps one callable of the detector in float32 (`flow.transform`, `decoder.forward`), so that
one sees which of its parts moves the score; it can be given several times, and `--float32` with names joined
by `+` keeps them together.

`--compiled` asks in its place what the compiled convolutions of frozen networks move
(`networks.convolution3`): in float32, with them and with oneDNN's.

Where a processor has no bfloat16, numbers that are rounded to it are multiplied and added in float32, which
rounds as processors do that have it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch

from secondread.calibration.raw_scores import concatenate
from secondread.cohorts.manifest import Manifest
from secondread.detectors.contract import Detector
from secondread.images.read import read_image
from secondread.networks.convolution3 import fused_convolution
from secondread.networks.precision import full_precision
from secondread.preprocessing.prepared_set import PreparedSet, prepare_set
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.recipes.build import build_detector
from secondread.recipes.completed_encoders import with_completed_encoders
from secondread.recipes.recipe import Recipe
from secondread.scoring.bf16_speed import processor_name
from secondread.scoring.precision_drift import drifts, drifts_between
from secondread.scoring.scorer import Scorer
from secondread.training.loop import train


def in_float32(call: Callable[..., Any]) -> Callable[..., Any]:
    """The same without autocast, whatever precision its tensors come in."""

    def called(*given: Any, **named: Any) -> Any:
        tensors = [one for one in given if isinstance(one, torch.Tensor)]
        with full_precision(tensors[0]):
            return call(*(one.float() if isinstance(one, torch.Tensor) else one for one in given), **named)

    return called


@contextmanager
def kept(detector: Detector, paths: list[str]) -> Iterator[None]:
    """These callables of the detector run in float32 while the block lasts."""
    owners = [attrgetter(path.rpartition(".")[0])(detector) if "." in path else detector for path in paths]
    names = [path.rpartition(".")[2] for path in paths]
    for owner, name in zip(owners, names, strict=True):
        owner.__dict__[name] = in_float32(getattr(owner, name))
    try:
        yield
    finally:
        for owner, name in zip(owners, names, strict=True):
            owner.__dict__.pop(name)


def moved_by_compiled(detector: Detector, images: PreparedSet, recipe: Recipe) -> dict[str, float]:
    """As `drifts`, of the compiled convolutions in place of bfloat16."""
    scorer = Scorer(detector, precision="float32", window=recipe.window)
    kernel, found = fused_convolution.frozen_kernel, []
    for chosen in (kernel, lambda *_: None):
        fused_convolution.frozen_kernel = chosen
        found.append(concatenate(list(scorer.set(images, maps=False))))
    fused_convolution.frozen_kernel = kernel
    return drifts_between(detector, *found)


def fitted(recipe: Recipe, normals: PreparedSet, held_out: PreparedSet, steps: int, folder: Path) -> Detector:
    """The preset's detector after so many steps of each stage at most."""
    torch.manual_seed(0)
    detector = build_detector(recipe)
    stages = {
        name: settings.model_copy(
            update={"steps": min(settings.steps or steps, steps), "keep": "last", "early_stop": None}
            if settings.epochs is None or settings.epochs > 1
            else {}
        )
        for name, settings in recipe.stages.items()
    }
    cohorts = {"normal": normals, "unlabelled": normals, "validation": held_out}
    train(
        detector, cohorts, stages, seed=0, directory=folder, device="cpu", precision="float32", progress=False
    )
    return detector


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--films", type=int, default=64)
    parser.add_argument("--learn", type=int, default=128, help="normals to fit on")
    parser.add_argument("--steps", type=int, default=60, help="of each stage that takes steps, at most")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--float32", action="append", default=[], metavar="PATH")
    given = parser.parse_args()
    print(f"{processor_name()}, torch {torch.__version__}, {given.films} films, {given.learn} learned from\n")
    manifest = Manifest.read(given.manifest).where("split=train", "label=normal")
    references = [manifest.reference(row) for row in manifest.rows[: given.learn + given.films]]
    print("| preset | kept in float32 | " + "drift of each part, % |\n| --- | --- | --- |")
    for preset in given.presets:
        recipe = with_completed_encoders(Recipe.load(preset, set=given.set))
        with tempfile.TemporaryDirectory() as folder:
            preprocessing = Preprocessing(recipe.preprocessing)
            if preprocessing.needs_fit:
                preprocessing.fit(lambda: (read_image(reference) for reference in references[:32]))
            sets = [
                prepare_set(chosen, preprocessing, workers=0)
                for chosen in (references[: given.learn], references[given.learn :])
            ]
            detector = fitted(recipe, *sets, given.steps, Path(folder))
        if given.compiled:
            found = moved_by_compiled(detector, sets[1], recipe)
            told = ", ".join(f"{name} {100 * value:.1g}" for name, value in found.items())
            print(f"| {preset} | all, compiled | {told} |", flush=True)
            continue
        for path in ("", *given.float32):
            with kept(detector, [one for one in path.split("+") if one]):
                found = drifts(detector, sets[1], device="cpu", window=recipe.window, most=given.films)
            told = ", ".join(f"{name} {100 * value:.2f}" for name, value in found.items())
            print(f"| {preset} | {path or 'nothing'} | {told} |", flush=True)


if __name__ == "__main__":
    main()
