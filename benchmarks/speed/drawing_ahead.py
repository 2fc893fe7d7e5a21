"""Training images per second of `anomaly-unet` with anomalies drawn between steps or ahead of them.

    OMP_NUM_THREADS=1 python benchmarks/speed/drawing_ahead.py [KIND ...] [--size 64 128] [--width 16]

For each kind and size, in one run: drawing alone, a step alone (on one batch drawn beforehand), drawn in the
training process, and drawn in worker processes once those have started; each is the median over rounds of the
loop. The kinds have the settings of their defaults with every second image changed. `--workers` says how many
there may be; the loop takes as many as keep up.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from secondread.anomalies import ANOMALIES
from secondread.anomalies.anomaly import Anomalies
from secondread.detectors.contract import Batches, Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.detectors.self_supervised.anomaly_unet import AnomalyUNet, AnomalyUNetSettings
from secondread.scoring.device import processor_name
from secondread.scoring.image_source import ArraySource
from secondread.training.batches import drawing
from secondread.training.batches.drawing_worker import drawn
from secondread.training.loop import train

KINDS = ("blobs", "pii", "nsa", "draem", "mixture")
WARM = 2
"""Rounds at the start, or after the workers have taken over, that do not count."""


@dataclass(frozen=True)
class AlwaysTheSame:
    """Anomalies that were drawn beforehand."""

    made: Anomalies

    def __call__(self, batches: Batches, generator: torch.Generator) -> dict[str, Anomalies]:
        return {"normal": self.made}


class Detector(AnomalyUNet):
    fixed: Anomalies | None = None

    def stages(self) -> Iterator[Stage]:
        for stage in super().stages():
            yield stage if self.fixed is None else replace(stage, draw=AlwaysTheSame(self.fixed))


def images_of(count: int, size: int) -> np.ndarray:
    coarse = torch.from_numpy(np.random.default_rng(0).random((count, 1, size // 8, size // 8), np.float32))
    found: np.ndarray = functional.interpolate(coarse, size=(size, size), mode="bilinear").numpy()
    return found


def rounds_of(detector: Detector, images: np.ndarray, rounds: int, batch: int, workers: int) -> list[float]:
    """Seconds of each round."""
    moments = []
    settings = StageSettings(steps=rounds + 1, batch_size=batch)
    train(
        detector, {"normal": ArraySource(images)}, {"segmentation": settings}, seed=0, device="cpu",
        precision="float32", progress=False, workers=workers,
        after_round=lambda *_: moments.append(time.perf_counter()),
    )  # fmt: skip
    return [after - before for before, after in itertools.pairwise(moments)]


def measured(kind: str, size: int, given: argparse.Namespace) -> None:
    images, batch = images_of(4 * given.batch, size), given.batch
    settings = AnomalyUNetSettings(
        anomalies=ANOMALIES.find(kind)().settings, width=given.width, depth=given.depth
    )

    def detector() -> Detector:
        return Detector(settings, 1, (size, size))

    beforehand = {"normal": (images[:batch], None)}
    alone, fixed = [], detector()
    for number in range(given.rounds):
        begun = time.perf_counter()
        made = drawn(fixed.draw, beforehand, (0, number))["normal"]
        alone.append(time.perf_counter() - begun)
    fixed.fixed = made
    steps = rounds_of(fixed, images, given.rounds, batch, 0)[WARM:]
    here = rounds_of(detector(), images, given.rounds, batch, 0)[WARM:]
    step = statistics.median(steps)
    handed_over = drawing.TIMED + int(drawing.START_S / statistics.median(here)) + 1
    later = handed_over + WARM + 2 * given.workers
    ahead = rounds_of(detector(), images, later + given.rounds, batch, given.workers)[later:]
    told = [batch / statistics.median(seconds) for seconds in (alone[1:], steps, here, ahead)]
    rates, share = " | ".join(f"{rate:.0f}" for rate in told), statistics.median(alone[1:]) / step
    print(f"| `{kind}` | {size} | {rates} | {share:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=KINDS)
    parser.add_argument("--size", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--depth", type=int, default=4)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    drawing.WORTH_S = drawing.WORTH_SHARE = 0.0  # ahead, whether or not it pays
    print(f"{processor_name()}, steps in {given.threads} thread(s), at most {given.workers} worker(s)\n")
    print("| kind | size | drawing alone | step alone | drawn between steps | drawn ahead | drawing / step |")
    print("|---|---|---|---|---|---|---|")
    for size in given.size:
        for kind in given.kinds:
            measured(kind, size, given)


if __name__ == "__main__":
    main()
