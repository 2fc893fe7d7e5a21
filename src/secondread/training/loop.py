"""The training loop. It runs any detector's stages and knows none of them.

For each stage, in order (`training.one_stage`): `prepare` and `start`; then rounds of steps, epoch by epoch
(`training.stage_training`); then `collect`; then `finish` and `examine`. `prepare`, `start`, `collect`,
`each_epoch`, `finish`, `examine` and validation run in eval mode without gradient; during steps what they
train is in train mode, and everything else in eval mode.

Everything random is drawn from the seed and from where it happens (stage, epoch, round), so a
checkpoint need not hold a generator, and a resumed fit gives exactly what an uninterrupted one gives
on the same machine. A step whose loss or gradient is not finite (or whose loss is beyond the stage's
`diverged_above`) changes nothing and is counted; many in a row end the fit (`training.divergence`), and
meanwhile no checkpoint replaces an earlier one.

The loss on held-out normals (cohort "validation") drives early stopping and `keep: best`. It stands in
for every cohort that the stage is on. Other rules measure the score (`training.choice`). The loop never
sees a label.

Under `torchrun` every process takes its part of each batch and gradients are averaged by number of
images. Two processes equal one up to rounding where a loss is a mean over images and the detector
has no batch statistics.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from secondread.detectors.contract import Detector
from secondread.detectors.detector_settings import StageSettings
from secondread.scoring.device import Repeatable, choose_device, make_fabric, place
from secondread.scoring.image_source import ImageSource
from secondread.terminal.events import log_event
from secondread.terminal.interruption import StopRequest
from secondread.training.apart.stages_apart import StagesApart, default_processes, independent
from secondread.training.checkpoint import Checkpoints
from secondread.training.choosing.label_free import refuse_missing_images
from secondread.training.fit_display import FitProgress
from secondread.training.fit_identity import fit_identity, refuse_another_fit
from secondread.training.fit_state import AfterRound, Run
from secondread.training.log import TrainingLog
from secondread.training.observer import Observer
from secondread.training.one_stage import run_stage, stage_settings
from secondread.training.planning.planned_stages import planned_stages
from secondread.training.seeds import seed_layers
from secondread.training.training_precision import training_precision

if TYPE_CHECKING:
    from secondread.scoring.one_process import Processes


def train(
    detector: Detector,
    cohorts: Mapping[str, ImageSource],
    stages: Mapping[str, StageSettings],
    *,
    seed: int,
    directory: Path | None = None,
    device: str | None = "auto",
    precision: str = "auto",
    resume: bool = False,
    progress: bool = True,
    checkpoint_seconds: float = 120.0,
    workers: int = 0,
    cache: Path | None = None,
    processes: int | None = None,
    after_round: AfterRound | None = None,
    observers: Sequence[Observer] = (),
) -> TrainingLog:
    """Fits the detector in place.

    cohorts             name -> preprocessed images; "validation" holds held-out normals
    stages              settings by stage name (a recipe's `stages` section)
    directory           where checkpoints and frozen features lie while the fit runs; under several
                        processes one that all of them see. The caller removes it when all is done. None: no
                        checkpoints, and features in a temporary folder, for a fit in one process
    resume              go on from the newest whole checkpoint in `directory`, if there is one;
                        otherwise checkpoints there are removed
    checkpoint_seconds  a checkpoint at least this often, at the next round; besides one at the end
                        of epochs (not within ten seconds of the last) and of stages. 0: every round
    workers             processes at most in which synthetic anomalies are drawn ahead, where that pays
                        (`training.batches.drawing`); the numbers are the same with any, and with none
    cache               folder of the cache of prepared images, where what a frozen encoder says of each is
                        kept for other fits (`scoring.kept_encodings`); None = nowhere
    processes           at most in which stages that do not build on one another are trained at the same time,
                        where that pays (`training.apart`); the numbers are the same with any. None = one for
                        each core and each thread that PyTorch has, and one on a GPU
    observers           are told what happens, in process 0 alone; the numbers are the same without them

    Raises `UserError` (settings that do not fit, a checkpoint of another fit, training that diverged)
    and `Interrupted` (Ctrl-C or SIGTERM, after saving).
    """
    refuse_missing_images(cohorts, stages)
    detector.eval()  # a weight with power iteration moves whenever it is looked at in train mode
    place_of_work = choose_device(device)
    chosen = training_precision(detector, precision, place_of_work)
    fabric = make_fabric(place_of_work, chosen)
    learner = type(detector).__name__
    log_event(
        "training begins",
        detector=learner,
        device=str(place_of_work),
        precision=chosen,
        processes=fabric.world_size,
    )
    checkpoints = Checkpoints(None if directory is None else directory / "checkpoints")
    fingerprint = fit_identity(detector, cohorts, stages, seed, chosen, fabric)
    saved = checkpoints.latest() if resume else None
    if saved is not None and directory is not None:
        refuse_another_fit(fingerprint, saved["fingerprint"], directory)
    fabric.barrier()
    if fabric.is_global_zero:
        checkpoints.tidy(everything=saved is None)
    log = TrainingLog(fabric.device.type, chosen, fabric.world_size, seed)
    if saved is not None:
        log = TrainingLog.from_json(json.loads(saved["log"]))

    with (
        tempfile.TemporaryDirectory(prefix="secondread-")
        if directory is None
        else nullcontext(directory) as folder,
        StopRequest() as stop,
        FitProgress(progress and fabric.is_global_zero) as shown,
        torch.random.fork_rng(enabled=True),
        Repeatable(fabric.device),
    ):
        run = Run(
            detector, cohorts, fabric, chosen, seed, Path(folder), checkpoints, checkpoint_seconds,
            fingerprint, log, stop, shown, after_round, workers, cache,
            observers if fabric.is_global_zero else (),
        )  # fmt: skip
        for observer in run.observers:
            observer.begun(log)
        sizes = {name: len(source) for name, source in cohorts.items()}
        planned = planned_stages(detector.stages(), stages, sizes, detector.uses)
        shown.plan(planned)
        seed_layers(fabric.device, seed, "stages")
        order = independent(detector.stages(), stages) if fabric.world_size == 1 else None
        if order is not None:
            if saved is not None:
                detector.load_fitted(saved["detector"])
            if saved is None or saved["stage"] < 0:
                most = default_processes(fabric.device) if processes is None else max(1, processes)
                if directory is None:
                    run.checkpoint_seconds = math.inf
                StagesApart(run, order, stages, planned, most).train(resumed=saved is not None)
            place(detector, fabric.device)
        for number, stage in enumerate(detector.stages() if order is None else ()):
            if saved is not None and number < saved["stage"]:
                continue
            if saved is not None:
                detector.load_fitted(saved["detector"])
            place(detector, fabric.device)
            _agree(fabric, detector)
            if saved is None or not saved["done"]:
                run_stage(run, number, stage, stage_settings(stage, stages), saved)
            saved = None
        _agree(fabric, detector)
        detector.eval()
        log.notes, log.warnings = list(detector.notes()), list(detector.warnings())
        for observer in run.observers:
            observer.ended(log)
    return log


def _agree(fabric: Processes, detector: Detector) -> None:
    """Every process takes the parameters and buffers of process 0."""
    if fabric.world_size > 1:
        for tensor in detector.state_dict().values():
            torch.distributed.broadcast(tensor, src=0)
