import sys

import pytest

from secondread.errors import UserError
from secondread.fitting.encoder_weights import with_downloaded_weights
from secondread.recipes.recipe import Recipe


def test_a_recipe_without_an_imagenet_encoder_is_left_alone():
    for name in ("spectrum", "aeflow-conv"):
        recipe = Recipe.load(name)
        assert with_downloaded_weights(recipe) == recipe
    given = Recipe.load("padim", set=["detector.encoder.weights=mine.pth"])
    assert with_downloaded_weights(given) == given


def test_weights_that_are_there_are_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setenv("SECONDREAD_WEIGHTS", str(tmp_path))
    (tmp_path / "resnet18.safetensors").write_bytes(b"")
    found = with_downloaded_weights(Recipe.load("padim-paper"))
    assert found.detector["encoder"] == {
        "name": "resnet18",
        "weights": str(tmp_path / "resnet18.safetensors"),
    }
    (tmp_path / "resnet18.safetensors").unlink()
    with pytest.raises(UserError, match="huggingface-hub"):
        with_downloaded_weights(Recipe.load("padim-paper"))


def test_squeezenet_has_no_source_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("SECONDREAD_WEIGHTS", str(tmp_path))
    with pytest.raises(UserError, match="no safetensors source is known for squeezenet1_1"):
        with_downloaded_weights(Recipe.load("k-nn", set=["detector.encoder.name=squeezenet1_1"]))


def test_weights_that_an_installed_package_ships_are_not_looked_for_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("SECONDREAD_WEIGHTS", str(tmp_path))
    recipe = Recipe.load("k-nn")
    assert recipe.detector["encoder"]["name"] == "efficientnet_lite0"
    assert with_downloaded_weights(recipe) == recipe
