"""An ensemble whose networks are trained in one process, in several, and in several that are killed."""

import os
import signal
from collections.abc import Callable

import numpy as np
import pytest
import torch

from secondread.detectors.detector_settings import StageSettings
from secondread.detectors.reconstruction.aeu import AEUSettings
from secondread.detectors.reconstruction.ddad import DDAD, DDADSettings
from secondread.errors import UserError
from secondread.scoring.image_source import ArraySource
from secondread.terminal.interruption import Interrupted
from secondread.training.apart import crew, stages_apart
from secondread.training.batches.drawing_worker import one_thread
from secondread.training.loop import train
from secondread.training.observer import Observer

STAGE = StageSettings(epochs=3, batch_size=4, keep="best")
NETWORKS = ["normal-1", "normal-2"]


def detector() -> DDAD:
    torch.manual_seed(0)
    network = {"width": 2, "hidden": 4, "latent": 2}
    settings = DDADSettings(backbone=AEUSettings(network=network), members=2, score="intra", refiners=())
    return DDAD(settings, 1, (16, 16))


def cohorts():
    rng = np.random.default_rng(0)
    return {
        name: ArraySource(rng.random(size=(count, 1, 16, 16), dtype=np.float32))
        for name, count in (("normal", 9), ("validation", 4))
    }


def fit(folder, **more):
    made = detector()
    log = train(
        made, cohorts(), {"normal": STAGE}, seed=5, directory=folder, device="cpu", precision="float32",
        checkpoint_seconds=0.0, resume=True, **{"progress": False, **more},
    )  # fmt: skip
    return made.state_dict(), log


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    with one_thread():
        return fit(tmp_path_factory.mktemp("alone"), processes=1)


@pytest.fixture
def at_once(monkeypatch):
    """Handed over after two rounds."""
    monkeypatch.setattr(stages_apart, "TIMED_S", 0.0)
    monkeypatch.setattr(stages_apart, "WORTH_S", 0.0)


def same(state, other) -> bool:
    return all(torch.equal(state[name], other[name]) for name in state)


class Heard(Observer):
    def __init__(self) -> None:
        self.epochs: list[str] = []
        self.steps = 0

    def stepped(self, stage, step, losses, lr) -> None:
        self.steps += 1

    def epoch_ended(self, stage, epoch, epochs, log) -> None:
        self.epochs.append(stage)


def in_processes(monkeypatch, folder, after: Callable[[crew.Crew], None] = lambda started: None, **more):
    """Two processes; `after` is called with the crew when both were begun."""
    begin = crew.Crew._begin

    def begun(self, piece):
        begin(self, piece)
        if len(self.working) == 2 and sum(self.begun.values()) == 2:
            after(self)

    monkeypatch.setattr(crew.Crew, "_begin", begun)
    with one_thread():
        return fit(folder, processes=2, **more)


@pytest.mark.slow
def test_networks_are_the_same_in_one_process_and_in_two_that_were_killed_once(
    alone, at_once, monkeypatch, tmp_path, capsys
):
    def kill_one(started):
        started.working["normal-2"].process.send_signal(signal.SIGKILL)

    heard = Heard()
    state, log = in_processes(monkeypatch, tmp_path, kill_one, observers=[heard], progress=True)
    assert same(state, alone[0])
    assert [entry.name for entry in log.stages] == NETWORKS
    assert [entry.chosen_epoch for entry in log.stages] == [e.chosen_epoch for e in alone[1].stages]
    assert all(len(entry.epochs) == 3 for entry in log.stages)
    assert sorted(heard.epochs) == sorted(NETWORKS * 3)
    assert heard.steps == 2 * 3 * 3
    told = capsys.readouterr().err
    assert "networks are trained in 2 processes" in told
    assert "stage normal-2: its process was ended by signal 9, and is begun again" in told
    assert not (tmp_path / "stages").exists()


def test_a_fit_that_was_stopped_while_processes_worked_goes_on_to_the_same_numbers_in_one(
    alone, at_once, monkeypatch, tmp_path
):
    started = []

    def stop(crew_at_work):
        started.extend(each.process.pid for each in crew_at_work.working.values())
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="the same command goes on"):
        in_processes(monkeypatch, tmp_path, stop)
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    monkeypatch.undo()
    with one_thread():
        state, log = fit(tmp_path, processes=1)
    assert same(state, alone[0])
    assert all(len(entry.epochs) == 3 for entry in log.stages)


def test_where_memory_is_for_one_process_alone_it_is_said_and_the_numbers_are_the_same(
    alone, at_once, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(stages_apart, "available_bytes", lambda: 1 << 30)
    with one_thread():
        state, _ = fit(tmp_path, processes=2, progress=True)
    assert "there is memory for only this one" in capsys.readouterr().err
    assert same(state, alone[0])


class Unpicklable(ArraySource):
    def __reduce__(self):
        raise TypeError("not to be sent")


def test_images_that_cannot_be_sent_to_a_process_are_told_with_the_way_out(at_once, monkeypatch, tmp_path):
    images = {name: Unpicklable(source.images) for name, source in cohorts().items()}
    with one_thread(), pytest.raises(UserError, match=r"cannot be sent .* give --processes 1"):
        train(
            detector(), images, {"normal": STAGE}, seed=5, directory=tmp_path, device="cpu",
            precision="float32", progress=False, processes=2,
        )  # fmt: skip


def test_stages_that_change_the_same_and_say_that_they_are_independent_are_found(tmp_path):
    made = detector()
    first, second = made.stages()
    twice = [first, type(second)(**{**vars(second), "steps": first.steps})]
    made.stages = lambda: iter(twice)
    with pytest.raises(ValueError, match="'normal-1' and 'normal-2' both change"):
        train(made, cohorts(), {"normal": STAGE}, seed=5, device="cpu", precision="float32", progress=False)
