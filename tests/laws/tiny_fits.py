"""The tiny form of each detector and stub: built, fitted, killed while it is fitted, and asked for scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from stub_detectors import STUBS as PLAIN
from stub_masks import MASKED

from secondread import detectors
from secondread.calibration.raw_scores import RawScores, concatenate
from secondread.detectors.contract import Detector
from secondread.scoring.image_source import ImageSource
from secondread.scoring.scorer import Scorer
from secondread.training.loop import train

STUBS = {**PLAIN, **MASKED}

Cohorts = Mapping[str, ImageSource]


def find(name: str) -> type[Detector]:
    return STUBS[name] if name in STUBS else detectors.find(name)


CASES = [(name, rank) for name in [*detectors.DETECTORS, *STUBS] for rank in sorted(find(name).ranks)]


class Killed(BaseException):
    """Stands for the process's end."""


@dataclass
class CutOff:
    """A source that is not there any more after a number of batches."""

    source: ImageSource
    batches_left: int

    @property
    def digests(self):
        return self.source.digests

    @property
    def patients(self):
        return self.source.patients

    @property
    def target_digests(self):
        return self.source.target_digests

    def targets(self, indices):
        return self.source.targets(indices)

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices):
        if self.batches_left == 0:
            raise Killed
        self.batches_left -= 1
        return self.source.batch(indices)


def build(name: str, rank: int) -> Detector:
    tiny = find(name).tiny(rank)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return find(name)(tiny.settings, tiny.channels, tiny.size)


def fit(
    name: str, rank: int, cohorts: Cohorts, directory: Path | None = None, *, device: str = "cpu",
    precision: str = "float32", **more,
) -> Detector:  # fmt: skip
    """Without a directory no checkpoint is written; with one, at every round."""
    detector = build(name, rank)
    train(
        detector, cohorts, find(name).tiny(rank).stages, seed=7, directory=directory, device=device,
        progress=False, precision=precision, checkpoint_seconds=0.0, **more,
    )  # fmt: skip
    return detector


def scores_of(
    detector: Detector, source: ImageSource, precision: str = "float32", *, maps: bool = True,
    device: str = "cpu",
) -> RawScores:  # fmt: skip
    scorer = Scorer(detector, device=device, precision=precision)
    return concatenate(list(scorer.set(source, batch_size=3, maps=maps)))
