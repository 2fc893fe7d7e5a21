import json
import math
import signal
import time

import numpy as np
import pytest
import torch
from small_detectors import Adversary, AutoencoderSettings, build

from secondread.detectors.detector_settings import EarlyStopSettings, OptimiserSettings, StageSettings
from secondread.errors import UserError
from secondread.scoring.image_source import ArraySource
from secondread.terminal.interruption import Interrupted
from secondread.training.log import TrainingLog
from secondread.training.loop import train

BUSY = AutoencoderSettings(dropout=0.2, noise=0.1)


def fit(detector, cohorts, stage, directory, **more):
    more = {"seed": 3, "progress": False, "precision": "float32", "device": "cpu", **more}
    return train(detector, cohorts, {"train": stage}, directory=directory, **more)


def same(one, other) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def without_times(log: TrainingLog) -> str:
    data = log.to_json()
    for stage in data["stages"]:
        stage.pop("seconds"), stage.pop("images_per_second")
        for epoch in stage["epochs"]:
            epoch.pop("seconds")
    return json.dumps(data)


class Killed(BaseException):
    """Stands for the process's end: nothing after it may save anything."""


def kill_at(count: int):
    left = iter(range(count))

    def after_round(stage: str, epoch: int, number: int) -> None:
        if next(left, None) is None:
            raise Killed

    return after_round


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_one_seed_gives_one_result_and_another_seed_another(cohorts, tmp_path, precision):
    stage = StageSettings(epochs=2, batch_size=4)
    one, again, other = build(BUSY), build(BUSY), build(BUSY)
    first = fit(one, cohorts(), stage, tmp_path / "a", precision=precision)
    second = fit(again, cohorts(), stage, tmp_path / "b", precision=precision)
    fit(other, cohorts(), stage, tmp_path / "c", precision=precision, seed=4)
    assert same(one, again)
    assert without_times(first) == without_times(second)
    assert not same(one, other)


def test_training_lowers_the_loss_and_leaves_the_global_generator_alone(cohorts, tmp_path):
    before = torch.random.get_rng_state()
    log = fit(build(AutoencoderSettings()), cohorts(), StageSettings(epochs=12, batch_size=4), tmp_path)
    losses = [epoch.losses["mse"] for epoch in log.stages[1].epochs]
    assert losses[-1] < 0.9 * losses[0]
    assert torch.equal(before, torch.random.get_rng_state())


def test_each_step_makes_a_new_version_of_what_it_trains(cohorts, tmp_path):
    """By which folded copies of a weight know that they are old."""
    detector = build(AutoencoderSettings())
    seen = []

    def note(stage: str, epoch: int, number: int) -> None:
        seen.append(detector.encoder.weight._version)

    fit(detector, cohorts(), StageSettings(steps=3, batch_size=4), tmp_path, after_round=note)
    assert len(seen) == len(set(seen)) == 3


@pytest.fixture(scope="module")
def uninterrupted():
    """What a fit came to that nobody killed, where there has been one."""
    return []


@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["every round", "end of stages only"])
@pytest.mark.parametrize("after", range(7))
def test_a_killed_fit_resumes_to_the_result_of_an_uninterrupted_one(
    cohorts, uninterrupted, tmp_path, after, seconds
):
    settings = AutoencoderSettings(dropout=0.2, noise=0.1, frozen_teacher=True)
    stage = StageSettings(
        steps=8, batch_size=4, keep="best", moving_average=0.8, clip_norm=0.5,
        schedule={"name": "cosine", "warmup": 0.2}, early_stop=EarlyStopSettings(patience=2),
    )  # fmt: skip
    if not uninterrupted:
        detector = build(settings)
        uninterrupted[:] = detector, fit(detector, cohorts(), stage, tmp_path / "whole")
    whole, expected = uninterrupted
    killed = build(settings)
    with pytest.raises(Killed):
        fit(
            killed,
            cohorts(),
            stage,
            tmp_path / "cut",
            checkpoint_seconds=seconds,
            after_round=kill_at(after),
        )
    resumed = build(settings)
    log = fit(resumed, cohorts(), stage, tmp_path / "cut", resume=True)
    assert same(whole, resumed)
    assert without_times(log) == without_times(expected)


def test_a_checkpoint_every_round_spares_the_rounds_before_it(cohorts, tmp_path):
    stage = StageSettings(steps=8, batch_size=4)
    with pytest.raises(Killed):
        fit(
            build(BUSY),
            cohorts(validation=0),
            stage,
            tmp_path,
            checkpoint_seconds=0.0,
            after_round=kill_at(5),
        )
    resumed = build(BUSY)
    fit(resumed, cohorts(validation=0), stage, tmp_path, resume=True)
    assert resumed.losses_taken == 2


def test_a_stages_seconds_hold_those_before_a_kill(cohorts, tmp_path):
    stage = StageSettings(steps=8, batch_size=4)
    kill = kill_at(5)

    def slow(*where) -> None:
        time.sleep(0.1)
        kill(*where)

    with pytest.raises(Killed):
        fit(build(BUSY), cohorts(), stage, tmp_path, checkpoint_seconds=0.0, after_round=slow)
    log = fit(build(BUSY), cohorts(), stage, tmp_path, resume=True)
    assert next(each for each in log.stages if each.name == "train").seconds > 0.5


def test_resuming_a_finished_fit_changes_nothing(cohorts, tmp_path):
    stage = StageSettings(steps=4, batch_size=4)
    done, again = build(BUSY), build(BUSY)
    log = fit(done, cohorts(), stage, tmp_path)
    assert without_times(fit(again, cohorts(), stage, tmp_path, resume=True)) == without_times(log)
    assert same(done, again)
    assert again.losses_taken == 0


def test_a_torn_checkpoint_is_passed_over_for_the_one_before(cohorts, tmp_path):
    stage = StageSettings(steps=8, batch_size=4)
    whole, resumed = build(BUSY), build(BUSY)
    fit(whole, cohorts(), stage, tmp_path / "whole")
    with pytest.raises(Killed):
        fit(build(BUSY), cohorts(), stage, tmp_path / "cut", checkpoint_seconds=0.0, after_round=kill_at(5))
    files = sorted((tmp_path / "cut" / "checkpoints").iterdir())
    assert len(files) == 2
    files[-1].write_bytes(files[-1].read_bytes()[:-100])
    fit(resumed, cohorts(), stage, tmp_path / "cut", resume=True)
    assert same(whole, resumed)


def test_a_checkpoint_of_other_settings_is_refused_and_the_difference_named(cohorts, tmp_path):
    fit(build(BUSY), cohorts(), StageSettings(steps=2, batch_size=4), tmp_path)
    with pytest.raises(UserError, match=r"different: stages\.train"):
        fit(build(BUSY), cohorts(), StageSettings(steps=3, batch_size=4), tmp_path, resume=True)
    with pytest.raises(UserError, match="different: cohort normal"):
        fit(build(BUSY), cohorts(normal=12), StageSettings(steps=2, batch_size=4), tmp_path, resume=True)


def test_ctrl_c_saves_says_how_to_go_on_and_loses_nothing(cohorts, tmp_path):
    stage = StageSettings(steps=8, batch_size=4)
    whole, stopped, resumed = build(BUSY), build(BUSY), build(BUSY)
    fit(whole, cohorts(), stage, tmp_path / "whole")

    def press(name: str, epoch: int, number: int) -> None:
        if (epoch, number) == (1, 2):
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=r"stage 'train', epoch 2, step 3; .* the same command goes on"):
        fit(stopped, cohorts(), stage, tmp_path / "cut", after_round=press)
    assert signal.getsignal(signal.SIGINT) is before
    fit(resumed, cohorts(), stage, tmp_path / "cut", resume=True)
    assert same(whole, resumed)
    assert resumed.losses_taken < whole.losses_taken


def test_steps_that_are_not_finite_are_skipped_counted_and_change_nothing(cohorts, tmp_path):
    sources = cohorts()
    sources["normal"].images[4] = np.nan
    detector = build(AutoencoderSettings())
    detector.stages = lambda: (stage for stage in type(detector).stages(detector) if stage.name == "train")
    log = fit(detector, sources, StageSettings(epochs=2, batch_size=1), tmp_path)
    assert [epoch.skipped for epoch in log.stages[0].epochs] == [1, 1]
    assert log.skipped == 2
    assert all(torch.isfinite(tensor).all() for tensor in detector.state_dict().values())
    assert np.isfinite(log.stages[0].epochs[-1].losses["mse"])


def test_training_that_diverges_stops_with_what_to_change(cohorts, tmp_path):
    detector = build(AutoencoderSettings(diverge=True))
    with pytest.raises(UserError, match=r"not finite 50 steps in a row .*stages\.train\.optimiser\.lr"):
        fit(
            detector,
            cohorts(),
            StageSettings(epochs=99, batch_size=1),
            tmp_path,
        )


def test_keep_best_keeps_the_epoch_with_the_lowest_held_out_loss(cohorts, tmp_path):
    stage = StageSettings(epochs=8, batch_size=4, optimiser=OptimiserSettings(lr=0.05), keep="best")
    log = fit(build(AutoencoderSettings()), cohorts(), stage, tmp_path).stages[1]
    losses = [epoch.validation for epoch in log.epochs]
    assert log.chosen_epoch == int(np.argmin(losses))
    short = stage.model_copy(update={"epochs": log.chosen_epoch + 1, "keep": "last"})
    best, last = build(AutoencoderSettings()), build(AutoencoderSettings())
    fit(best, cohorts(), stage, tmp_path / "best")
    fit(last, cohorts(), short, tmp_path / "last")
    assert same(best, last)


def test_early_stopping_stops_after_patience_epochs_without_gain(cohorts, tmp_path):
    stage = StageSettings(epochs=50, batch_size=4, early_stop=EarlyStopSettings(patience=2, min_delta=1e9))
    log = fit(build(AutoencoderSettings()), cohorts(), stage, tmp_path).stages[1]
    assert len(log.epochs) == 3
    assert "stopped early after 3 of 50 epochs" in log.rule


def test_choosing_an_epoch_without_held_out_normals_is_refused(cohorts, tmp_path):
    with pytest.raises(UserError, match=r"stages\.train chooses its epoch .*cohorts\.validation"):
        fit(build(BUSY), cohorts(validation=0), StageSettings(epochs=1, keep="best"), tmp_path)


def test_a_stage_without_length_or_settings_or_images_is_refused(cohorts, tmp_path):
    with pytest.raises(UserError, match="neither epochs nor steps"):
        fit(build(BUSY), cohorts(), StageSettings(), tmp_path)
    with pytest.raises(UserError, match=r"no stages\.train"):
        train(build(BUSY), cohorts(), {}, seed=0, directory=tmp_path, progress=False)
    with pytest.raises(UserError, match="cohort 'normal', and it holds no image"):
        fit(build(BUSY), {"normal": ArraySource(np.zeros((0, 1, 8, 8)))}, StageSettings(epochs=1), tmp_path)


def test_the_moving_average_is_what_stays(cohorts, tmp_path):
    slow = StageSettings(steps=6, batch_size=4, moving_average=0.999999)
    start, averaged = build(BUSY), build(BUSY)
    log = fit(averaged, cohorts(), slow, tmp_path)
    for before, after in zip(start.decoder.parameters(), averaged.decoder.parameters(), strict=True):
        torch.testing.assert_close(before, after, atol=1e-5, rtol=0)
    assert log.stages[1].rule.startswith("moving average")


def test_frozen_features_are_computed_once_per_image_and_found_again(cohorts, tmp_path):
    detector = build(AutoencoderSettings(frozen_teacher=True))
    images = []
    detector.teacher.register_forward_hook(lambda module, given, output: images.append(len(given[0])))
    stage = StageSettings(epochs=3, batch_size=4)
    fit(detector, cohorts(normal=10, validation=4), stage, tmp_path)
    assert sum(images) == 10 + 4 + 2
    images.clear()
    again = build(AutoencoderSettings(frozen_teacher=True))
    again.teacher.register_forward_hook(lambda module, given, output: images.append(len(given[0])))
    fit(again, cohorts(normal=10, validation=4), stage, tmp_path)
    assert images == []
    assert same(detector, again)


def test_a_stage_that_augments_does_not_use_frozen_features(cohorts, tmp_path):
    detector = build(AutoencoderSettings(frozen_teacher=True))
    stage = StageSettings(epochs=1, batch_size=4, augment=("flip", "rotate", "shift", "intensity"))
    fit(detector, cohorts(), stage, tmp_path)
    assert not (tmp_path / "features").exists()


def test_a_step_trains_its_own_parameters_and_repeats_take_their_own_batches(cohorts, tmp_path):
    detector = build(AutoencoderSettings(), kind=Adversary)
    sources = cohorts(normal=8)
    stage = StageSettings(epochs=1, batch_size=2)
    log = train(
        detector, sources, {"game": stage}, seed=0, directory=tmp_path, progress=False, precision="float32"
    )
    names = [name for name, _ in detector.calls]
    assert names == ["critic", "critic", "generator"] * 2
    sums = [value for _, value in detector.calls]
    assert sums[0] != sums[1]
    assert sums[1] == sums[2]
    assert set(log.stages[0].epochs[0].losses) == {"critic.gap", "generator.fool"}


@pytest.mark.parametrize(("batch_size", "repeats"), [(4, 5), (8, 5), (2, 3), (3, 7)])
def test_more_repeats_than_an_epoch_has_batches_go_on_into_the_next_deck(
    cohorts, tmp_path, batch_size, repeats
):
    detector = build(AutoencoderSettings(), kind=Adversary)
    detector.critic_repeats = repeats
    sources = cohorts(normal=8, validation=0)
    stage = StageSettings(epochs=3, batch_size=batch_size)
    log = train(
        detector, sources, {"game": stage}, seed=0, directory=tmp_path, progress=False, precision="float32"
    )
    names = [name for name, _ in detector.calls]
    rounds = math.ceil(math.ceil(8 / batch_size) / repeats)
    assert names == (["critic"] * repeats + ["generator"]) * (3 * rounds)
    assert all(epoch.images >= 8 for epoch in log.stages[0].epochs)


def test_each_step_may_have_an_optimiser_of_its_own(cohorts, tmp_path):
    def moved(**more) -> tuple[float, float]:
        detector = build(AutoencoderSettings(), kind=Adversary)
        before = [detector.critic.weight.detach().clone(), detector.generator.weight.detach().clone()]
        stage = StageSettings(steps=1, batch_size=4, optimiser=OptimiserSettings(lr=1e-3), **more)
        folder = tmp_path / str(len(more))
        train(detector, cohorts(), {"game": stage}, seed=0, directory=folder, progress=False, device="cpu")
        after = [detector.critic.weight, detector.generator.weight]
        return tuple(float((b - a).detach().abs().max()) for a, b in zip(before, after, strict=True))

    critic, generator = moved()
    own_critic, same_generator = moved(optimisers={"critic": {"lr": 5e-3}})
    assert own_critic == pytest.approx(5 * critic, rel=0.05)
    assert same_generator == pytest.approx(generator, rel=0.05)


def test_settings_for_a_step_that_the_stage_does_not_have_are_refused(cohorts, tmp_path):
    stage = StageSettings(epochs=1, optimisers={"critik": OptimiserSettings()})
    with pytest.raises(
        UserError, match=r"stages.game.optimisers.critik: .* no step of that name; there is critic, generator"
    ):
        train(
            build(AutoencoderSettings(), kind=Adversary), cohorts(), {"game": stage},
            seed=0, directory=tmp_path, progress=False,
        )  # fmt: skip


def test_a_stage_without_a_loss_on_held_out_normals_measures_none_and_cannot_choose_by_it(cohorts, tmp_path):
    detector = build(AutoencoderSettings(), kind=Adversary)
    detector.validate = None
    log = train(
        detector,
        cohorts(),
        {"game": StageSettings(epochs=1)},
        seed=0,
        directory=tmp_path / "a",
        progress=False,
    )
    assert log.stages[0].epochs[0].validation is None
    with pytest.raises(UserError, match=r"stages.game chooses its epoch by the loss .* has no such loss"):
        train(
            detector, cohorts(), {"game": StageSettings(epochs=1, keep="best")},
            seed=0, directory=tmp_path / "b", progress=False,
        )  # fmt: skip


def test_the_hook_after_a_step_follows_each_step_that_changed_something(cohorts, tmp_path):
    for diverges, called in ((False, 3), (True, 0)):
        detector = build(AutoencoderSettings(diverge=diverges))
        calls: list[bool] = []
        detector.after_step = lambda calls=calls: calls.append(torch.is_grad_enabled())
        stage = StageSettings(steps=3, batch_size=4)
        if diverges:
            with pytest.raises(UserError, match="not finite"):
                fit(detector, cohorts(), stage, tmp_path / "nan")
        else:
            fit(detector, cohorts(), stage, tmp_path / "finite")
        assert calls == [False] * called


def test_what_no_step_trains_is_in_eval_mode_while_steps_run(cohorts, tmp_path):
    detector = build(AutoencoderSettings())
    modes = []
    detector.after_step = lambda: modes.append(
        [detector.training, detector.encoder.training, detector.decoder.training, detector.teacher.training]
    )
    fit(detector, cohorts(), StageSettings(steps=2, batch_size=4), tmp_path)
    assert modes == [[True, True, True, False]] * 2


def test_volumes_train_too(cohorts, tmp_path):
    detector = build(BUSY, size=(4, 8, 8))
    log = fit(
        detector,
        cohorts(size=(4, 8, 8)),
        StageSettings(epochs=1, batch_size=4, augment=("flip", "rotate", "shift")),
        tmp_path,
    )
    assert log.stages[1].epochs[0].images == 11


def test_elsewhere_than_on_a_terminal_each_epoch_is_one_line(cohorts, tmp_path, capsys):
    fit(build(BUSY), cohorts(), StageSettings(epochs=3, batch_size=4), tmp_path, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith(f"stage train  epoch {n}/3  mse ") for n, line in enumerate(lines, 1)] == [
        True
    ] * 3


def test_the_log_survives_json(cohorts, tmp_path):
    log = fit(build(BUSY), cohorts(), StageSettings(epochs=2, batch_size=4), tmp_path)
    assert TrainingLog.from_json(json.loads(json.dumps(log.to_json()))) == log
