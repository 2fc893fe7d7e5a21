"""What it costs to give a detector one image at a time instead of a batch: time per image, as a ratio.

Scores are computed one image at a time on a CPU (`secondread.scoring.scorer`), so that they do not depend
on a batch. This measures the price: both ways in turn on the same prepared images, the median of each over
the rounds, in this process and on as many threads as torch is given. The detector is untrained but for what
its preset fits in one epoch on 16 images: enough for speed, not for sense.

    SECONDREAD_WEIGHTS=weights python benchmarks/machines/one_at_a_time.py aeflow k-nn ae glow-cxr-small
    python benchmarks/machines/one_at_a_time.py padim --set detector.encoder.weights=random
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from secondread.detectors.contract import Batch, Detector
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe
from secondread.scoring.batch_size import default_batch_size
from secondread.scoring.bf16_speed import processor_name
from secondread.scoring.device import autocast, choose_precision, place, to_device
from secondread.scoring.image_source import ArraySource
from secondread.scoring.scorer import noise_for
from secondread.training.loop import train

CPU = torch.device("cpu")


def smooth_noise(count: int, channels: int, size: tuple[int, ...], seed: int) -> ArraySource:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, *(max(2, n // 8) for n in size), generator=generator)
    mode = {2: "bilinear", 3: "trilinear"}[len(size)]
    return ArraySource(torch.nn.functional.interpolate(coarse, size=size, mode=mode).numpy())


def fitted(recipe: Recipe, folder: Path) -> Detector:
    """The preset's detector after a step or two of each stage."""
    torch.manual_seed(0)
    detector = build_detector(recipe)
    stages = {
        name: settings.model_copy(update={"epochs": 1, "steps": 2, "keep": "last", "batch_size": 8})
        for name, settings in recipe.stages.items()
    }
    cohorts: Mapping[str, ArraySource] = {
        name: smooth_noise(16, detector.channels, detector.size, seed)
        for seed, name in enumerate(("normal", "validation", "unlabelled", "abnormal"))
    }
    train(detector, cohorts, stages, seed=0, directory=folder, device="cpu", progress=False)
    return detector


def seconds(detector: Detector, batch: Batch, digests: list[str], precision: str) -> float:
    gradients = torch.no_grad() if detector.gradients_at_scoring else torch.inference_mode()
    begun = time.process_time()
    with gradients, autocast(CPU, choose_precision(precision, CPU)):
        detector.score(batch, noise_for(digests), maps=True)
    return time.process_time() - begun


def compare(detector: Detector, images: int, precision: str, rounds: int) -> tuple[float, float]:
    """Milliseconds per image in a batch, and one at a time."""
    source = smooth_noise(images, detector.channels, detector.size, 9)
    pixels = torch.from_numpy(np.ascontiguousarray(source.images))
    together = Batch(to_device(pixels, CPU))
    alone = [Batch(to_device(pixels[i : i + 1], CPU)) for i in range(images)]
    spent: dict[str, list[float]] = {"batch": [], "one": []}
    for _ in range(rounds + 1):
        spent["batch"].append(seconds(detector, together, list(source.digests), precision))
        spent["one"].append(
            sum(
                seconds(detector, batch, [digest], precision)
                for batch, digest in zip(alone, source.digests, strict=True)
            )
        )
    batch, one = (1000 * statistics.median(values[1:]) / images for values in spent.values())
    return batch, one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"])
    given = parser.parse_args()
    print(f"{processor_name()}, {torch.get_num_threads()} thread(s), {given.precision}")
    for preset in given.presets:
        recipe = Recipe.load(preset, set=given.set)
        with tempfile.TemporaryDirectory() as folder:
            detector = fitted(recipe, Path(folder))
        detector.eval()
        place(detector, CPU)
        images = default_batch_size(detector.size)
        batch, one = compare(detector, images, given.precision, given.rounds)
        print(
            f"  {preset:18s} {images:3d} images: {batch:8.2f} ms per image in a batch, {one:8.2f} alone: "
            f"{one / batch:.2f} times",
            flush=True,
        )


if __name__ == "__main__":
    main()
