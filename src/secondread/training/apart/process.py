"""A process that trains one stage of a fit, and says how it goes in lines of JSON.

    python -m secondread.training.apart.process PARENT

The job comes from the parent by standard input, pickled. What the process makes lies in the stage's
checkpoints; it ends with status 0 where they hold the result, and ends with its parent.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondread.terminal.end_with import end_with

if TYPE_CHECKING:
    from torch import Tensor

    from secondread.detectors.contract import Detector
    from secondread.detectors.detector_settings import DetectorSettings, StageSettings
    from secondread.scoring.device import Precision
    from secondread.scoring.image_source import ImageSource

INTERRUPTED = 130


@dataclass(frozen=True)
class Job:
    """What the process must know. number: of the stage; base: where it begins; steps: whether every step is
    told, and not every epoch alone."""

    kind: type[Detector]
    settings: DetectorSettings
    channels: int
    size: tuple[int, ...]
    number: int
    stage_settings: StageSettings
    base: dict[str, Tensor]
    threads: int
    cohorts: dict[str, ImageSource]
    seed: int
    directory: Path
    checkpoint_seconds: float
    fingerprint: dict[str, str]
    precision: Precision
    device: str
    cache: Path | None
    steps: bool


def work(job: Job, say: Any) -> None:
    """The stage, to its end. `say` takes what is to be told, as a dictionary."""
    import torch

    from secondread.scoring.device import Repeatable, make_fabric
    from secondread.terminal.interruption import StopRequest
    from secondread.training.apart.piece import Piece, run_piece
    from secondread.training.checkpoint import Checkpoints
    from secondread.training.fit_display import FitProgress
    from secondread.training.fit_state import Run
    from secondread.training.log import EpochLog, TrainingLog
    from secondread.training.observer import Observer

    class Told(FitProgress):
        def say(self, line: str) -> None:
            say({"say": line})

    class Telling(Observer):
        def stepped(self, stage: str, step: int, losses: Mapping[str, float], lr: float) -> None:
            if job.steps:
                say({"step": step, "losses": dict(losses), "lr": lr})

        def epoch_ended(self, stage: str, epoch: EpochLog, epochs: int, log: TrainingLog) -> None:
            say({"epoch": asdict(epoch), "of": epochs})

    torch.set_num_threads(job.threads)
    device = torch.device(job.device)
    fabric = make_fabric(device, job.precision)
    detector = job.kind(job.settings, job.channels, job.size, pretrained=False)
    detector.load_fitted(job.base)
    stage = list(detector.stages())[job.number]
    log = TrainingLog(device.type, job.precision, 1, job.seed)
    with StopRequest() as stop, Told(shown=False) as shown, Repeatable(device):
        run = Run(
            detector, job.cohorts, fabric, job.precision, job.seed, job.directory, Checkpoints(None),
            job.checkpoint_seconds, job.fingerprint, log, stop, shown, None, 0, job.cache, [Telling()],
        )  # fmt: skip
        run_piece(run, Piece(job.number, stage, job.stage_settings, job.base, job.threads))


def main() -> None:
    end_with(int(sys.argv[1]))
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))  # there is nothing to save yet
    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(what: dict[str, Any]) -> None:
        told.write(json.dumps(what) + "\n")

    from secondread.errors import DataError, UserError
    from secondread.terminal.interruption import Interrupted

    try:
        work(pickle.load(sys.stdin.buffer), say)  # from the parent alone
    except (UserError, DataError) as error:
        say({"error": str(error)})
        sys.exit(1)
    except (Interrupted, KeyboardInterrupt):
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
