"""Run by tests in processes of their own: fit a small detector and write its state.

python fit_in_process.py DIRECTORY OUT SECONDS_PER_ROUND
"""

import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from small_detectors import AutoencoderSettings, build

from secondread.detectors.detector_settings import StageSettings
from secondread.scoring.image_source import ArraySource
from secondread.scoring.processes import process_rank
from secondread.training.loop import train


def main(directory: Path, out: Path, seconds_per_round: float) -> None:
    rng = np.random.default_rng(0)
    cohorts = {
        "normal": ArraySource(rng.normal(size=(21, 1, 8, 8))),
        "validation": ArraySource(rng.normal(size=(7, 1, 8, 8))),
    }
    detector = build(AutoencoderSettings(frozen_teacher=True))
    stage = StageSettings(
        epochs=4, batch_size=6, keep="best", watch=("synthetic",), moving_average=0.9, clip_norm=0.5
    )
    log = train(
        detector,
        cohorts,
        {"train": stage},
        seed=3,
        directory=directory,
        device="cpu",
        precision="float32",
        resume=True,
        progress=False,
        checkpoint_seconds=0.0,
        after_round=lambda *where: time.sleep(seconds_per_round),
    )
    if process_rank() == 0:
        torch.save(detector.state_dict(), out)
        print("processes", log.processes, os.environ.get("WORLD_SIZE"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
