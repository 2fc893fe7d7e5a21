"""The batches that a stage takes, one after the other: read ahead, and drawn where the stage draws."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

import torch

from secondread.detectors.contract import Batch, Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.scoring.device import on_device
from secondread.training.batches.coming import batches_to_come, held_out_batches, validated
from secondread.training.batches.drawing import Drawing
from secondread.training.batches.loading import one_ahead
from secondread.training.batches.stage_data import StageData
from secondread.training.fit_state import Run, StageProgress
from secondread.training.planning.stage_length import Length


def stage_batches(
    run: Run, stage: Stage, settings: StageSettings, data: StageData, length: Length, at: StageProgress
) -> Generator[dict[str, Batch]]:
    """On the device, as `batches_to_come` has them. Whoever takes them closes it."""
    planned = batches_to_come(run, stage, settings, data, length, at)
    if stage.draw is None:
        yield from one_ahead(lambda each: data.loader.batch(each.indices, each.epoch), planned)
        return
    taken = at.epoch * length.rounds_per_epoch + at.round
    count = (length.rounds - taken) * length.batches_per_round
    if validated(stage, data):
        count += (length.epochs - at.epoch) * len(held_out_batches(run, stage, settings, data))
    loader = replace(data.loader, device=torch.device("cpu"))
    drawing = Drawing(run, stage.name, tuple(stage.on), stage.draw, loader)
    with closing(drawing.batches(planned, count)) as found:
        for batches in found:
            yield {name: on_device(batch, run.fabric.device) for name, batch in batches.items()}
