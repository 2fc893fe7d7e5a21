"""By how much a fit from encodings in half precision moves a detector's scores, in standard deviations over
normals.

    python benchmarks/speed/features/half_precision.py MANIFEST padim patchcore mahalanobis k-nn

Each preset is fitted on the same normals with the same seed, once from encodings as they are and once from
those that a fit keeps for others, rounded to float16; both are asked for the same held-out normals. Printed
are the root mean square of the difference and the largest, over the standard deviation of the first; the bar
of the root mean square is 1 %.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from secondread.calibration.raw_scores import RawScores, concatenate
from secondread.cohorts.manifest import Manifest
from secondread.images.read import read_image
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.prepared_set import PreparedSet, prepare_set
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.recipes.build import build_detector
from secondread.recipes.completed_encoders import with_completed_encoders
from secondread.recipes.recipe import Recipe
from secondread.scoring.bf16_speed import processor_name
from secondread.scoring.scorer import Scorer
from secondread.training.loop import train


def scores(recipe: Recipe, normals: PreparedSet, held_out: PreparedSet, cache: Path | None) -> RawScores:
    torch.manual_seed(0)
    detector = build_detector(recipe)
    train(
        detector, {"normal": normals}, recipe.stages,
        seed=0, device="cpu", precision="float32", progress=False, cache=cache,
    )  # fmt: skip
    return concatenate(list(Scorer(detector, precision="float32").set(held_out, maps=False)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--films", type=int, default=32, help="held-out normals")
    parser.add_argument("--learn", type=int, default=64, help="normals to fit on")
    given = parser.parse_args()
    print(f"{processor_name()}, torch {torch.__version__}, {given.films} films, {given.learn} learned from\n")
    manifest = Manifest.read(given.manifest).where("split=train", "label=normal")
    references = [manifest.reference(row) for row in manifest.rows[: given.learn + given.films]]
    print("| preset | part | rms, % | largest, % |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder) / "cache")
        for preset in given.presets:
            recipe = with_completed_encoders(Recipe.load(preset, set=given.set))
            preprocessing = Preprocessing(recipe.preprocessing)
            if preprocessing.needs_fit:
                preprocessing.fit(lambda: (read_image(reference) for reference in references[:32]))
            normals, held_out = (
                prepare_set(chosen, preprocessing, cache=cache, workers=0)
                for chosen in (references[: given.learn], references[given.learn :])
            )
            exact, halved = (scores(recipe, normals, held_out, at) for at in (None, cache.directory))
            for part, values in exact.parts.items():
                apart = np.abs(halved.parts[part] - values) / values.std()
                rms, most = 100 * np.sqrt(np.mean(apart**2)), 100 * apart.max()
                print(f"| {preset} | {part} | {rms:.4f} | {most:.4f} |", flush=True)


if __name__ == "__main__":
    main()
