from pathlib import Path

import numpy as np
import pytest
from test_fit import fit_here

from secondread.bundles.bundle import Bundle
from secondread.errors import UserError
from secondread.readings.score import score
from secondread.recipes.recipe import Recipe
from secondread.terminal.interruption import Interrupted


def recipe(**stage) -> Recipe:
    """A small trained recipe, with a constant learning rate."""
    stages = {
        "autoencoder": {"epochs": 1, "batch_size": 8},
        "flow": {"epochs": 4, "batch_size": 8, "optimiser": {"lr": 0.01}, **stage},
    }
    return Recipe.from_mapping(
        {
            "preprocessing": {"size": [16, 16]},
            "detector": {
                "name": "aeflow",
                "encoder": {"name": "conv", "width": 4, "widest": 8, "code": 4, "stride": 4},
                "flow": {"blocks": 1, "hidden": 8},
                "decoder": {"hidden": [8]},
            },
            "stages": stages,
            "cohorts": {"validation": 0.2, "calibration": 0.3},
            "precision": "float32",
        }
    )


def scores(bundle: Bundle, phantoms) -> list[float]:
    return [reading.score for reading in score(bundle, phantoms.where("split=test"), workers=0).rows]


@pytest.fixture(scope="module")
def kept(phantoms, tmp_path_factory) -> Bundle:
    folder = tmp_path_factory.mktemp("kept")
    return fit_here(recipe(keep_every=3, keep="best"), phantoms, folder / "bundle")


def test_each_kept_epoch_is_a_bundle_like_that_of_a_fit_that_ended_there(kept, phantoms, tmp_path):
    folder = Path(kept.path).with_name("bundle.epochs")
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-00003", "epoch-00004"]
    for epochs in (3, 4):
        ended = fit_here(recipe(epochs=epochs), phantoms, tmp_path / f"ended-{epochs}")
        found = Bundle.load(folder / f"epoch-{epochs:05d}")
        np.testing.assert_array_equal(scores(found, phantoms), scores(ended, phantoms))
        assert found.provenance.training["stages"][1]["chosen_epoch"] == epochs - 1
        assert found.seen == kept.seen


def test_keeping_epochs_leaves_the_bundle_as_it_is(kept, phantoms, tmp_path):
    plain = fit_here(recipe(keep="best"), phantoms, tmp_path / "plain")
    np.testing.assert_array_equal(scores(kept, phantoms), scores(plain, phantoms))
    loaded = Bundle.load(kept.path)
    np.testing.assert_array_equal(scores(loaded, phantoms), scores(plain, phantoms))


def test_a_stopped_fit_that_is_continued_has_the_same_epochs(kept, phantoms, tmp_path, monkeypatch):
    from secondread.training import stage_training

    keep, calls = stage_training.keep_epoch, []

    def stop_at_the_second(directory: Path, *what) -> None:
        keep(directory, *what)
        calls.append(what)
        if len(calls) == 1:
            raise Interrupted("stopped")

    monkeypatch.setattr(stage_training, "keep_epoch", stop_at_the_second)
    with pytest.raises(Interrupted):
        fit_here(recipe(keep_every=3, keep="best"), phantoms, tmp_path / "again")
    fit_here(recipe(keep_every=3, keep="best"), phantoms, tmp_path / "again", resume=True)
    for name in ("epoch-00003", "epoch-00004"):
        one, other = (
            Bundle.load(bundle.with_name(f"{bundle.name}.epochs") / name)
            for bundle in (Path(kept.path), tmp_path / "again")
        )
        np.testing.assert_array_equal(scores(one, phantoms), scores(other, phantoms))
    assert not (tmp_path / "again.partial").exists()


def test_epochs_that_make_no_whole_detector_are_refused(phantoms, tmp_path):
    wrong = recipe()
    stages = {**wrong.stages, "autoencoder": wrong.stages["autoencoder"].model_copy(update={"keep_every": 1})}
    with pytest.raises(UserError, match=r"stages\.autoencoder\.keep_every: .*; only flow can have it"):
        fit_here(wrong.model_copy(update={"stages": stages}), phantoms, tmp_path / "bundle")


def test_epochs_that_are_there_are_not_replaced(phantoms, tmp_path):
    (tmp_path / "bundle.epochs").mkdir()
    with pytest.raises(UserError, match=r"bundle\.epochs: there are epochs of another fit"):
        fit_here(recipe(keep_every=2), phantoms, tmp_path / "bundle")
