import json

import pytest
import torch
from small_detectors import Autoencoder, AutoencoderSettings, build

from secondread.detectors.detector_settings import StageSettings
from secondread.training.log import TrainingLog
from secondread.training.loop import train


class Talkative(Autoencoder):
    """Says of itself how much it rebuilds before it is trained, and how many held-out images it was shown."""

    def stages(self):
        mean, trained = super().stages()
        yield mean
        yield type(trained)(**{**vars(trained), "start": self.start, "examine": self.examine, "frozen": None})

    def start(self, batches):
        assert not self.training
        assert not torch.is_grad_enabled()
        weight = float(self.encoder.weight.detach().abs().sum())
        return {"weight": weight, "images": len(batches["normal"]), "broken": float("nan")}

    def examine(self, held_out, generator):
        sizes = [len(batch) for batch in held_out]
        assert not torch.is_grad_enabled()
        return {
            "weight": float(self.encoder.weight.abs().sum()), "shown": sum(sizes), "smallest": min(sizes),
            "drawn": float(torch.rand((), generator=generator)),
        }  # fmt: skip

    def warnings(self):
        return ("it rebuilds little",)


def fit(cohorts, directory, batch_size=4, **more):
    detector = build(AutoencoderSettings(), kind=Talkative)
    before = float(detector.encoder.weight.detach().abs().sum())
    stage = {"train": StageSettings(epochs=2, batch_size=batch_size)}
    more = {"seed": 3, "progress": False, "precision": "float32", "device": "cpu", **more}
    log = train(detector, cohorts, stage, directory=directory, **more)
    return before, float(detector.encoder.weight.detach().abs().sum()), log


def test_a_stage_says_figures_of_itself_before_and_after(cohorts, tmp_path, capsys):
    before, after, log = fit(cohorts(), tmp_path, progress=True)
    figures = log.stages[1].figures
    assert figures["images"] == 4
    assert figures["broken"] is None
    assert figures["shown"] == 5
    assert figures["weight"] == pytest.approx(after)
    said = capsys.readouterr().err
    assert f"stage train  weight {before:.5g}  images 4" in said
    assert "shown 5" in said
    assert log.warnings == ["it rebuilds little"]


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_held_out_images_come_at_least_two_at_a_time(cohorts, tmp_path, batch_size):
    assert fit(cohorts(), tmp_path, batch_size)[2].stages[1].figures["smallest"] >= 2


def test_without_held_out_normals_nothing_is_examined(cohorts, tmp_path):
    given = cohorts()
    del given["validation"]
    assert "shown" not in fit(given, tmp_path)[2].stages[1].figures


def test_figures_survive_json_and_logs_from_before_are_read(cohorts, tmp_path):
    _, _, log = fit(cohorts(), tmp_path)
    data = json.loads(json.dumps(log.to_json(), allow_nan=False))
    assert TrainingLog.from_json(data) == log
    for stage in data["stages"]:
        del stage["figures"]
    del data["warnings"]
    assert TrainingLog.from_json(data).stages[1].figures == {}
