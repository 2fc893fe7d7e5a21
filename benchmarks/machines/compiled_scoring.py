"""What compiled code saves of a score: images with it and without, in turns in one process.

    OMP_NUM_THREADS=1 python benchmarks/machines/compiled_scoring.py aeflow padim --rounds 20

Processor time of one image (by the clock with `--wall`, for more than one thread on an idle machine), the
least of the rounds, of `Scorer.batch` with its maps and of the encoder alone; without is
SECONDREAD_NATIVE=0. A batch has one image, or `--images` of them, each of which goes through the detector
alone; `score` gives 8 of 256×256. The rate of a convolution is taken in the same rounds, and for `aeflow` the
share of its arithmetic's floor that this makes. Detectors are untrained but for a step or two: enough for
speed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from floating_point import contenders, operations
from one_at_a_time import fitted, smooth_noise

from secondread.detectors.flows.aeflow import AEFlow
from secondread.networks.native.build import SWITCH
from secondread.recipes.recipe import Recipe
from secondread.scoring.bf16_speed import processor_name
from secondread.scoring.scorer import Scorer

WAYS = {"with": "1", "without": "0"}


def measure(
    recipe: Recipe, rounds: int, images: int, clock: Callable[[], float] = time.process_time
) -> tuple[dict[str, float], float, float | None]:
    """Least seconds of an image, the rate of a convolution, and the operations of a score where they are
    counted."""
    with tempfile.TemporaryDirectory() as folder:
        detector = fitted(recipe, Path(folder)).eval()
    source = smooth_noise(images, detector.channels, detector.size, 9)
    operations_of_one, convolution = contenders(torch.float32)["convolution"]
    scorer = Scorer(detector, precision="float32")
    image = torch.from_numpy(source.images[:1])
    encoder = getattr(detector, "encoder", None)
    work: dict[str, Callable[[], object]] = {
        "score": lambda: scorer.batch(source.images, None, source.digests)
    }
    if encoder is not None:
        work["encoder"] = lambda: encoder(image)
    least: dict[str, float] = {}
    count = {"score": images}

    def timed(name: str, run: Callable[[], object]) -> None:
        begun = clock()
        run()
        taken = (clock() - begun) / count.get(name.partition(",")[0], 1)
        least[name] = min(least.get(name, 1e9), taken)

    for _ in range(rounds):
        for way, switch in WAYS.items():
            os.environ[SWITCH] = switch
            with torch.inference_mode():
                for name, run in work.items():
                    timed(f"{name}, {way}", run)
                timed("convolution", convolution)
    rate = operations_of_one / least.pop("convolution")
    counted = sum(operations(detector, image).values()) if isinstance(detector, AEFlow) else None
    return least, rate, counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=1, help="of a batch")
    parser.add_argument("--wall", action="store_true", help="seconds by the clock, not the processor's")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(
        f"{processor_name()}, float32, {given.threads} thread(s), batches of {given.images}, "
        f"least of {given.rounds} rounds"
    )
    for preset in given.presets:
        clock = time.perf_counter if given.wall else time.process_time
        least, rate, counted = measure(Recipe.load(preset, set=given.set), given.rounds, given.images, clock)
        second = "second by the clock" if given.wall else "CPU second"
        print(f"{preset}: a convolution at {rate / 1e9:.0f} Gflop per {second}")
        for name in sorted({name.partition(",")[0] for name in least}):
            compiled, plain = (least[f"{name}, {way}"] for way in WAYS)
            print(f"  {name:8s} {1000 * plain:6.1f} ms to {1000 * compiled:6.1f}, {plain / compiled:.2f}")
        if counted is not None:
            shares = [counted / rate / least[f"score, {way}"] for way in reversed(WAYS)]
            print(f"  of the floor, {1000 * counted / rate:.1f} ms: {shares[0]:.1%} to {shares[1]:.1%}")


if __name__ == "__main__":
    main()
