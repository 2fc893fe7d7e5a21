"""Training images per second of `anomaly-unet` with anomalies drawn between steps or ahead of them.

    OMP_NUM_THREADS=1 python benchmarks/speed/drawing_ahead.py [KIND ...] [--size 64 128] [--width 16]

For each kind and size, in one run: drawing alone, a step alone (on one batch drawn beforehand), drawn in the
training process between steps, and drawn ahead by worker processes once those have started. Kinds have their
defaults, with every second image changed. `--workers` says how many there may be; the loop takes as many as
keep up, and here also where that does not pay.

Two figures each: images per second of processor time of the process (of the training process alone, where
workers draw), which other work on the machine changes little, and images per second by the clock. Medians
over rounds.
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
from secondread.scoring.bf16_speed import processor_name
from secondread.scoring.image_source import ArraySource
from secondread.training.batches import drawing
from secondread.training.batches.drawing_worker import drawn
from secondread.training.loop import train

KINDS = ("blobs", "pii", "nsa", "draem", "mixture")


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


@dataclass(frozen=True)
class Moment:
    clock: float
    processor: float

    @classmethod
    def now(cls) -> Moment:
        return cls(time.perf_counter(), time.process_time())


def rates(moments: list[Moment], batch: int) -> tuple[float, float]:
    """Images per second of processor time, and by the clock."""
    pairs = list(itertools.pairwise(moments))
    processor = statistics.median(after.processor - before.processor for before, after in pairs)
    return batch / processor, batch / statistics.median(after.clock - before.clock for before, after in pairs)


def trained(
    detector: Detector, images: np.ndarray, given: argparse.Namespace, *, workers: int
) -> list[Moment]:
    """When each round but the first ones ended."""
    skipped = 1 + (drawing.TIMED + 1 + 2 * workers if workers else 0)
    moments: list[Moment] = []
    settings = StageSettings(steps=skipped + given.rounds, batch_size=given.batch)
    train(
        detector, {"normal": ArraySource(images)}, {"segmentation": settings}, seed=0, device="cpu",
        precision="float32", progress=False, workers=workers,
        after_round=lambda *_: moments.append(Moment.now()),
    )  # fmt: skip
    return moments[skipped - 1 :]


def measured(kind: str, size: int, given: argparse.Namespace) -> None:
    images, batch = images_of(4 * given.batch, size), given.batch
    settings = AnomalyUNetSettings(
        anomalies=ANOMALIES.find(kind)().settings, width=given.width, depth=given.depth
    )

    def detector() -> Detector:
        return Detector(settings, 1, (size, size))

    beforehand, fixed = {"normal": (images[:batch], None)}, detector()
    alone = []
    for number in range(1 + 2 * given.rounds):
        made = drawn(fixed.draw, beforehand, (0, number))["normal"]
        alone.append(Moment.now())
    fixed.fixed = made
    told = [
        rates(alone, batch),
        rates(trained(fixed, images, given, workers=0), batch),
        rates(trained(detector(), images, given, workers=0), batch),
        rates(trained(detector(), images, given, workers=given.workers), batch),
    ]
    cells = " | ".join(f"{processor:.0f}, {clock:.0f}" for processor, clock in told)
    print(f"| `{kind}` | {size} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=KINDS)
    parser.add_argument("--size", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--depth", type=int, default=4)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    drawing.WORTH_S = drawing.WORTH_SHARE = drawing.START_S = 0.0  # ahead at once, whether or not it pays
    drawing.TIMED = 3
    print(f"{processor_name()}, steps in {given.threads} thread(s), at most {given.workers} worker(s)\n")
    print("| kind | size | drawing alone | step alone | drawn between steps | drawn ahead |")
    print("|---|---|---|---|---|---|")
    for size in given.size:
        for kind in given.kinds:
            measured(kind, size, given)


if __name__ == "__main__":
    main()
