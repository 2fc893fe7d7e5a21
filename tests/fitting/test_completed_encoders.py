"""A vision transformer's folder is read by the fit alone; its bundle needs none."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from secondread import Bundle, make_phantoms
from secondread.errors import UserError
from secondread.fitting.fit import fit
from secondread.fitting.provenance import weight_digests
from secondread.networks.weights.find import WeightsFile
from secondread.recipes.build import build_detector
from secondread.recipes.completed_encoders import with_completed_encoders
from secondread.recipes.recipe import Recipe


@pytest.fixture(scope="module", autouse=True)
def transformers():
    """Slow to import, so that only who runs a test of it does."""
    return pytest.importorskip("transformers", reason="the extra `transformers` is not installed")


@pytest.fixture
def folder(transformers, tmp_path):
    torch.manual_seed(0)
    small = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=16, patch_size=8
    )
    transformers.Dinov2Model(small).save_pretrained(tmp_path / "model")
    statistics = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (tmp_path / "model" / "preprocessor_config.json").write_text(json.dumps(statistics))
    return tmp_path / "model"


def recipe_of(folder):
    encoder = {"name": "transformers", "model": str(folder)}
    return Recipe.from_mapping(
        {
            "preprocessing": {"size": [32, 32]},
            "detector": {"name": "k-nn", "k": 2, "encoder": encoder, "layers": ["blocks.0", "norm"]},
        }
    )


def test_a_bundle_scores_alike_when_the_folder_is_gone(folder, tmp_path):
    manifest = make_phantoms(tmp_path / "phantoms", seed=0, n_normal=12, n_abnormal=2, size=(32, 32))
    digest = WeightsFile.of(folder / "model.safetensors").sha256
    bundle = fit(recipe_of(folder), manifest, tmp_path / "bundle", workers=0, progress=False)
    shutil.rmtree(folder)
    again = Bundle.load(tmp_path / "bundle")
    assert again.provenance.weights == {"model.safetensors": digest}
    images = np.random.default_rng(0).random((2, 1, 32, 32), np.float32)
    first, second = (one.judge(images) for one in (bundle, again))
    np.testing.assert_array_equal(first.scores, second.scores)
    encoder = again.recipe.detector["encoder"]
    assert encoder["model"] == "model"
    assert encoder["architecture"]["hidden_size"] == 16
    assert not [part for part in json.dumps(encoder).split('"') if str(tmp_path) in part]


def test_encoders_of_an_averages_detectors_are_completed_too(folder):
    member = recipe_of(folder).detector
    recipe = recipe_of(folder).model_copy(update={"detector": {"name": "average", "of": {"a": member}}})
    found = with_completed_encoders(recipe).detector["of"]["a"]["encoder"]
    assert found["architecture"]["model_type"] == "dinov2"
    assert with_completed_encoders(Recipe.load("padim")) == Recipe.load("padim")


def test_a_recipe_whose_model_is_not_there_is_told_so(tmp_path):
    with pytest.raises(UserError, match="encoder model not found"):
        build_detector(recipe_of(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"set encoder\.model"):
        build_detector(recipe_of(tmp_path / "nowhere"), pretrained=False)


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    detector = nn.Sequential(nn.Identity(), nn.Identity(), nn.Identity())
    for module, (place, sha256) in zip(detector, [("a", "00"), ("b", "11"), ("c", "00")], strict=True):
        module.weights_file = WeightsFile(tmp_path / place / "model.safetensors", sha256)
    assert weight_digests(detector) == {"model.safetensors": "00", "b/model.safetensors": "11"}
