import sys

import pytest

from secondread.errors import UserError
from secondread.fitting.encoder_weights import download_missing_weights
from secondread.recipes.recipe import Recipe


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """No hub, and an empty folder of weights."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setenv("SECONDREAD_WEIGHTS", str(tmp_path))


def test_a_recipe_without_an_imagenet_encoder_or_with_weights_of_its_own_fetches_nothing():
    for name in ("spectrum", "aeflow-conv"):
        download_missing_weights(Recipe.load(name))
    download_missing_weights(Recipe.load("padim", set=["detector.encoder.weights=mine.pth"]))


def test_weights_that_are_there_are_not_downloaded(tmp_path):
    (tmp_path / "resnet18.safetensors").write_bytes(b"")
    download_missing_weights(Recipe.load("padim-paper"))
    (tmp_path / "resnet18.safetensors").unlink()
    with pytest.raises(UserError, match="huggingface-hub"):
        download_missing_weights(Recipe.load("padim-paper"))


def test_squeezenet_has_no_source_and_says_so():
    with pytest.raises(UserError, match="no safetensors source is known for squeezenet1_1"):
        download_missing_weights(Recipe.load("k-nn", set=["detector.encoder.name=squeezenet1_1"]))


def test_weights_that_an_installed_package_ships_are_not_looked_for_elsewhere():
    recipe = Recipe.load("k-nn")
    assert recipe.detector["encoder"]["name"] == "efficientnet_lite0"
    download_missing_weights(recipe)
