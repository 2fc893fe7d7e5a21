"""What is logged of a fit, and that nothing of it reaches the fit."""

import csv
import importlib.util
from pathlib import Path

import pytest
import torch
import yaml
from lightning_fabric.loggers import Logger
from page_rules import faults

from secondread.errors import UserError
from secondread.fitting.fit import fit
from secondread.recipes.recipe import Recipe
from secondread.tracking.live_page import PAGE, LivePage
from secondread.tracking.logged_training import LoggedTraining
from secondread.tracking.logger_names import refuse_loggers
from secondread.tracking.loggers import loggers_of
from secondread.training.log import EpochLog, StageLog, TrainingLog

EPOCHS, TERM = 3, "reconstruction"


@pytest.fixture(scope="module")
def small() -> Recipe:
    return Recipe.load(
        "ae",
        set=[
            "preprocessing.size=[32,32]", "preprocessing.steps=[{window: header}]",
            "detector.network={width: 4, hidden: 16, latent: 4}",
            f"stages.reconstruction.epochs={EPOCHS}", "precision=float32",
        ],
    )  # fmt: skip


class Kept(Logger):
    """A logger of one's own."""

    name, version = "kept", "0"

    def __init__(self) -> None:
        self.told, self.settings, self.status = {}, {}, ""

    def log_metrics(self, metrics, step=None) -> None:
        for name, value in metrics.items():
            self.told.setdefault(name, []).append((step, value))

    def log_hyperparams(self, params, *args, **kwargs) -> None:
        self.settings |= params

    def finalize(self, status) -> None:
        self.status = status


@pytest.fixture(scope="module")
def logged(small, phantoms, tmp_path_factory):
    folder = tmp_path_factory.mktemp("logged")
    how = {"cache": folder / "cache", "workers": 0, "device": "cpu", "progress": False}
    names = ["csv"]
    names += ["tensorboard"] if importlib.util.find_spec("tensorboard") else []
    names += ["mlflow"] if importlib.util.find_spec("mlflow") and importlib.util.find_spec("alembic") else []
    kept = Kept()
    plain = fit(small, phantoms, folder / "plain", **how)
    bundle = fit(small, phantoms, folder / "bundle", **how, loggers=[*names, kept])
    return plain, bundle, kept


def test_a_logger_changes_no_number_and_no_identity(logged) -> None:
    plain, bundle, _ = logged
    for name, tensor in plain.detector.state_dict().items():
        torch.testing.assert_close(bundle.detector.state_dict()[name], tensor, rtol=0, atol=0)
    assert plain.recipe == bundle.recipe
    assert not bundle.path.with_name("plain.logs").exists()


def test_losses_held_out_losses_and_settings_are_told(logged) -> None:
    _, bundle, kept = logged
    (stage,) = bundle.provenance.training["stages"]
    by_epoch = [(epoch["epoch"] + 1, epoch["losses"][TERM]) for epoch in stage["epochs"]]
    assert kept.told[f"reconstruction/loss {TERM}"] == by_epoch
    held_out = [(epoch["epoch"] + 1, epoch["validation"]) for epoch in stage["epochs"]]
    assert kept.told["reconstruction/held-out"] == held_out
    steps = [step for step, _ in kept.told[f"reconstruction.steps/loss {TERM}"]]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) >= EPOCHS
    assert kept.settings["detector.name"] == "ae"
    assert kept.settings["fit.manifest"] == bundle.provenance.manifest_digest
    assert kept.status == "success"


def test_csv_files_hold_numbers_the_figure_and_the_card(logged) -> None:
    bundle = logged[1]
    folder = bundle.path.with_name("bundle.logs") / "csv" / "version_0"
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sum(bool(row[f"reconstruction/loss {TERM}"]) for row in rows) == EPOCHS
    assert (folder / "training.png").read_bytes().startswith(b"\x89PNG")
    card = (folder / "model-card.md").read_text(encoding="utf-8")
    assert bundle.digest in card
    assert str(bundle.path.parent) not in card
    settings = yaml.safe_load((folder / "settings.yaml").read_text(encoding="utf-8"))
    assert settings["detector"]["name"] == "ae"


def test_tensorboard_has_the_same_numbers(logged) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    _, bundle, kept = logged
    read = accumulators.EventAccumulator(str(bundle.path.with_name("bundle.logs") / "tensorboard")).Reload()
    found = [(event.step, event.value) for event in read.Scalars(f"reconstruction/loss {TERM}")]
    assert [step for step, _ in found] == [1, 2, 3]
    assert found[-1][1] == pytest.approx(kept.told[f"reconstruction/loss {TERM}"][-1][1])
    assert read.Tags()["images"] == ["training"]


def test_mlflow_keeps_the_run_beside_the_bundle_and_goes_on_with_it(logged, monkeypatch) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    _, bundle, kept = logged
    folder = bundle.path.with_name("bundle.logs")
    run_id = (folder / "mlflow-run.txt").read_text()
    client = tracking.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["detector.name"] == "ae"
    history = client.get_metric_history(run_id, f"reconstruction/loss {TERM}")
    assert [(metric.step, metric.value) for metric in history] == kept.told[f"reconstruction/loss {TERM}"]
    assert {file.path for file in client.list_artifacts(run_id)} == {"training.png", "model-card.md"}
    (again,) = loggers_of(["mlflow"], folder, "bundle")
    assert again.version == run_id


def test_a_session_that_goes_on_tells_the_epochs_of_earlier_ones_again() -> None:
    kept = Kept()
    log = TrainingLog(stages=[StageLog("flow", [EpochLog(0, {"a": 1.0}, None, 1e-3, 0, 4, 1.0)])])
    LoggedTraining([kept], {}).begun(log)
    assert kept.told["flow/loss a"] == [(1, 1.0)]
    assert "flow/held-out" not in kept.told


def test_a_missing_logger_is_one_line_before_anything_else(small, phantoms, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("secondread.tracking.logger_names.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"the logger mlflow needs .*pip install .*\[mlflow\]"):
        fit(small, phantoms, tmp_path / "bundle", loggers=["mlflow"])
    with pytest.raises(UserError, match="no logger is called 'wandb'; there is csv, tensorboard, mlflow"):
        refuse_loggers(["wandb"])
    with pytest.raises(UserError, match="name its folder with out"):
        fit(small, phantoms, loggers=["csv"])
    assert list(tmp_path.iterdir()) == []


def test_the_page_of_a_fit_under_way_draws_itself_anew(tmp_path: Path) -> None:
    log = TrainingLog(stages=[StageLog("flow")])
    page = LivePage(tmp_path, "A <b>fit</b>", seconds_between=0.0)
    page.begun(log)
    for number in range(2):
        page.cost = 0.0
        epoch = EpochLog(number, {"loss": 1.0 / (number + 1)}, 0.5, 1e-3, 0, 8, 2.0)
        log.stages[0].epochs.append(epoch)
        page.epoch_ended("flow", epoch, 5, log)
    text = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert "epoch 2 of 5; about 6 s more" in text
    assert 'http-equiv="refresh"' in text
    assert "data:image/png" in text
    assert "<b>" not in text
    assert faults(text) == []
    page.between, before = 60.0, text
    page.epoch_ended("flow", epoch, 5, log)
    assert (tmp_path / PAGE).read_text(encoding="utf-8") == before
