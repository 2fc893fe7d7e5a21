"""A fit that diverges ends with what to change, and with the last good checkpoint on disk."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_detectors import AutoencoderSettings, build

from secondread.detectors.blocks.glow_settings import GlowPosteriorSettings
from secondread.detectors.blocks.image_flow.architecture import GlowFlowSettings
from secondread.detectors.detector_settings import OptimiserSettings, ScheduleSettings, StageSettings
from secondread.detectors.flows.glow_posterior import GlowPosterior
from secondread.errors import UserError
from secondread.scoring.image_source import ArraySource
from secondread.training.checkpoint import Checkpoints
from secondread.training.loop import train

FAR_TOO_HIGH = OptimiserSettings(name="sgd", lr=1e6)


def fit(detector, cohorts, stages, directory, **more):
    more = {"seed": 3, "progress": False, "precision": "float32", "device": "cpu", **more}
    return train(detector, cohorts, stages, directory=directory, **more)


def fails(detector, cohorts, stages, directory, **more) -> str:
    with pytest.raises(UserError) as caught:
        fit(detector, cohorts, stages, directory, **more)
    return str(caught.value)


def loss_of(detector, cohorts) -> float:
    images = torch.from_numpy(cohorts["normal"].images)
    with torch.no_grad():
        target = images - detector.mean
        return float((detector.decoder(detector.encoder(target)) - target).square().mean())


def test_the_message_names_the_last_good_checkpoint_and_that_one_is_whole(cohorts, tmp_path):
    stage = {"train": StageSettings(epochs=40, batch_size=4, optimiser=FAR_TOO_HIGH)}
    told = fails(build(AutoencoderSettings()), cohorts(), stage, tmp_path, checkpoint_seconds=0.0)
    assert "not finite 50 steps in a row" in told
    assert "lower stages.train.optimiser.lr (now 1e+06)" in told
    where = re.search(r"the last good checkpoint \(stage 'train', epoch 1, step (\d)\) is whole", told)
    assert where
    assert str(tmp_path / "checkpoints") in told
    saved = Checkpoints(tmp_path / "checkpoints").latest()
    assert f'"round": {where[1]}' in saved["progress"]
    good = build(AutoencoderSettings())
    good.load_state_dict(saved["detector"])
    assert np.isfinite(loss_of(good, cohorts()))


def test_resuming_from_there_with_the_same_settings_diverges_in_the_same_words(cohorts, tmp_path):
    stage = {"train": StageSettings(epochs=40, batch_size=4, optimiser=FAR_TOO_HIGH)}
    told = fails(build(AutoencoderSettings()), cohorts(), stage, tmp_path, checkpoint_seconds=0.0)
    again = fails(build(AutoencoderSettings()), cohorts(), stage, tmp_path, resume=True)
    assert again.split("; the last good")[0] == told.split("; the last good")[0]


def test_before_any_step_the_end_of_the_stage_before_is_the_last_good_one(cohorts, tmp_path):
    detector = build(AutoencoderSettings(diverge=True))
    stage = {"train": StageSettings(epochs=99, batch_size=1)}
    told = fails(detector, cohorts(), stage, tmp_path, checkpoint_seconds=0.0)
    assert "the last good checkpoint (end of stage 'mean') is whole" in told


def test_a_loss_beyond_the_stages_bound_counts_as_not_finite(cohorts, tmp_path):
    detector = build(AutoencoderSettings())
    detector.stages = lambda: (replace(s, diverged_above=1e3) for s in type(detector).stages(detector))
    stage = {"train": StageSettings(epochs=40, batch_size=4, optimiser=OptimiserSettings(name="sgd", lr=40))}
    told = fails(detector, cohorts(), stage, tmp_path, checkpoint_seconds=0.0)
    assert "not finite (or the loss above 1000) 50 steps in a row" in told
    good = build(AutoencoderSettings())
    good.load_state_dict(Checkpoints(tmp_path / "checkpoints").latest()["detector"])
    assert loss_of(good, cohorts()) < 1e3


def test_a_stage_that_ends_while_its_steps_are_not_finite_is_refused(cohorts, tmp_path):
    stage = {"train": StageSettings(steps=12, batch_size=4, optimiser=FAR_TOO_HIGH)}
    told = fails(build(AutoencoderSettings()), cohorts(), stage, tmp_path)
    assert "steps in a row, to the stage's end; lower stages.train.optimiser.lr" in told


def test_a_glow_that_explodes_says_so_and_keeps_a_good_checkpoint(tmp_path):
    form = GlowPosterior.tiny(2)
    images = np.random.default_rng(0).random((12, 1, *form.size))
    sources = {name: ArraySource(images) for name in ("normal", "unlabelled", "validation")}
    warming_up = ScheduleSettings(warmup=0.9)
    training = StageSettings(
        epochs=60, batch_size=4, optimiser=OptimiserSettings(lr=30.0), schedule=warming_up
    )
    stages = {**form.stages, "normal": training}
    torch.manual_seed(0)
    settings = GlowPosteriorSettings(flow=GlowFlowSettings(levels=2, depth=2, width=16))
    detector = GlowPosterior(settings, form.channels, form.size)
    told = fails(detector, sources, stages, tmp_path, checkpoint_seconds=0.0)
    assert "stage 'normal'" in told
    assert "lower stages.normal.optimiser.lr (now 30)" in told
    assert "the last good checkpoint (stage 'normal', epoch 1, " in told
    state = Checkpoints(tmp_path / "checkpoints").latest()["detector"]
    assert all(torch.isfinite(t).all() for name, t in state.items() if name != "drift")
