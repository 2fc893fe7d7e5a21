"""Anomalies drawn between steps or ahead of them, in other processes."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from drawing_listener import Listener, Notes
from torch import Tensor

from secondread.anomalies import ANOMALIES
from secondread.detectors.blocks.drawn_anomalies import DrawInNormals
from secondread.detectors.contract import Batch
from secondread.detectors.detector_settings import StageSettings
from secondread.detectors.self_supervised.anomaly_unet import AnomalyUNet
from secondread.errors import UserError
from secondread.images.workers.messages import Messages
from secondread.scoring.image_source import ArraySource
from secondread.training.batches import drawing
from secondread.training.batches.drawing import workers_that_pay
from secondread.training.batches.drawing_worker import DrawInWorker, one_thread
from secondread.training.loop import train
from secondread.training.seeds import seeded_generator


def images(count: int, size: int = 16) -> ArraySource:
    return ArraySource(np.random.default_rng(count).random((count, 1, size, size), np.float32))


@pytest.fixture
def always_ahead(monkeypatch):
    """Workers are started however little there is to draw, after two batches."""
    for name, value in {"WORTH_S": 0.0, "WORTH_SHARE": 0.0, "TIMED": 2, "START_S": 0.0}.items():
        monkeypatch.setattr(drawing, name, value)


def listened(
    draw: Notes, *, workers: int = 0, held_out: int = 5, directory: Path | None = None, **more
) -> list[float]:
    detector = Listener(draw)
    settings = StageSettings(epochs=3, batch_size=4)
    cohorts = {"normal": images(12), "validation": images(held_out)}
    train(
        detector, cohorts, {"listen": settings}, seed=0, device="cpu", progress=False, workers=workers,
        directory=directory, **more,
    )  # fmt: skip
    return detector.heard


class Killed(BaseException):
    pass


def test_training_batches_draw_anew_and_held_out_ones_alike_in_every_epoch():
    heard = listened(Notes(os.getpid()))
    epochs = [heard[at : at + 5] for at in (0, 5, 10)]  # three batches of normals, two of held-out ones
    assert epochs[0][3:] == epochs[1][3:] == epochs[2][3:]
    assert len(set(heard)) == 9 + 2


def test_a_killed_fit_draws_what_an_uninterrupted_one_draws(tmp_path):
    whole = listened(Notes(os.getpid()))

    def kill(stage: str, epoch: int, number: int) -> None:
        if (epoch, number) == (1, 2):
            raise Killed

    with pytest.raises(Killed):
        listened(Notes(os.getpid()), directory=tmp_path, checkpoint_seconds=0, after_round=kill)
    resumed = listened(Notes(os.getpid()), directory=tmp_path, resume=True)
    assert resumed == whole[-len(resumed) :]
    assert len(resumed) == 1 + 2 + 5


@pytest.mark.slow
def test_processes_draw_the_same_numbers(always_ahead):
    def fitted(workers: int) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
        torch.manual_seed(0)
        tiny = AnomalyUNet.tiny(2)
        detector = AnomalyUNet(tiny.settings, tiny.channels, tiny.size)
        cohorts = {"normal": images(12), "validation": images(5)}
        log = train(detector, cohorts, tiny.stages, seed=0, device="cpu", progress=False, workers=workers)
        epochs = log.stages[0].epochs
        return [{**epoch.losses, "held-out": epoch.validation} for epoch in epochs], detector.state_dict()

    (here, parameters), (there, others) = fitted(0), fitted(2)
    assert here == there
    torch.testing.assert_close(parameters, others, rtol=0, atol=0)


@pytest.mark.slow
def test_a_worker_that_dies_is_one_clear_line_and_none_is_left(always_ahead):
    with pytest.raises(UserError, match=r"^stage 'listen': a process that draws .*the same command goes on"):
        listened(Notes(os.getpid(), ends=True), workers=1)
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    assert not children.exists() or "secondread.images.workers" not in "".join(
        Path(f"/proc/{child}/cmdline").read_text() for child in children.read_text().split()
    )


@pytest.mark.parametrize("ahead", [False, True])
def test_a_refusal_of_the_drawing_is_told_as_it_is(ahead):
    draw = Notes(os.getpid(), refused=4)
    if not ahead:
        with pytest.raises(UserError, match=r"^nothing can be drawn in 4 images$"):
            listened(draw)
        return
    answered = DrawInWorker(draw)(("name", (0,), {"normal": (images(4).images, None)}))
    assert answered == "nothing can be drawn in 4 images"


def test_what_cannot_be_sent_to_another_process_is_drawn_in_this_one(always_ahead):
    here = Notes(os.getpid())
    detector = Listener(lambda batches, generator: here(batches, generator))
    cohorts = {"normal": images(12)}
    settings = StageSettings(steps=4, batch_size=4)
    train(detector, cohorts, {"listen": settings}, seed=0, device="cpu", progress=False, workers=1)
    assert len(set(detector.heard)) == 4


@pytest.mark.parametrize("kind", sorted(ANOMALIES))
def test_every_kind_travels_to_a_worker_and_what_it_draws_back(kind):
    task = pickle.loads(pickle.dumps(DrawInWorker(DrawInNormals(ANOMALIES.find(kind)()))))
    messages = Messages.of(task)
    x = images(3, 32).images
    told = task(("name", (0, "a"), {"normal": (x, None)}))
    sent = np.frombuffer(b"".join(bytes(part) for part in messages.write(0, told)), np.uint8)
    back = messages.read(sent.copy()).value["normal"].anomalies()
    batches = {"normal": Batch(torch.from_numpy(x))}
    made = DrawInNormals(ANOMALIES.find(kind)())(batches, seeded_generator(0, "a"))["normal"]
    torch.testing.assert_close(back.images, made.images, rtol=0, atol=0)
    torch.testing.assert_close(back.target, made.target, rtol=0, atol=0)
    assert (back.classes is None) == (made.classes is None)


def test_workers_pay_where_much_drawing_is_left_and_are_as_many_as_keep_up():
    def of(drawing_s: float, each_s: float, left: int = 10_000, most: int = 8) -> int:
        return workers_that_pay(drawing_s, each_s, left, most)

    assert of(0.1, 0.3) == 1
    assert of(0.3, 0.4) == 3
    assert of(0.3, 0.4, most=2) == 2
    assert of(0.3, 0.4, most=0) == 0
    assert of(0.1, 0.3, left=100) == 0  # ten seconds of drawing
    assert of(0.01, 0.3) == 0  # a small share of a step


def test_one_thread_draws_however_many_train():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
