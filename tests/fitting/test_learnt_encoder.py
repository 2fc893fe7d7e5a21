"""An encoder of one fit in another fit, which keeps what it learned from and needs no folder."""

import shutil

import numpy as np
import pytest

from secondread import Bundle, make_phantoms, score
from secondread.errors import UserError
from secondread.fitting.fit import fit
from secondread.fitting.learnt_encoder import LearntBefore
from secondread.networks.weights.find import WeightsFile
from secondread.recipes.recipe import Recipe

QUIET = {"workers": 0, "progress": False}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    return make_phantoms(folder, seed=0, n_normal=24, n_abnormal=3, size=(32, 32))


@pytest.fixture(scope="module")
def own(manifest, tmp_path_factory):
    """A bundle whose encoder is hardly trained."""
    recipe = Recipe.from_mapping(
        {
            "preprocessing": {"size": [32, 32]},
            "detector": {
                "name": "one-class-contrastive",
                "encoder": {"name": "residual", "width": 4, "blocks": 1, "layer": "layer3"},
                "head": [8, 4],
            },
            "stages": {"contrast": {"steps": 2, "batch_size": 8}},
        }
    )
    folder = tmp_path_factory.mktemp("own") / "own"
    fit(recipe, manifest, folder, **QUIET)
    return folder


def recipe_for(folder, **changes):
    given = {
        "preprocessing": {"size": [32, 32]},
        "detector": {"name": "k-nn", "k": 2, "encoder": {"name": "learnt", "weights": str(folder)}},
    }
    return Recipe.from_mapping({**given, **changes})


def test_the_bundle_has_the_encoder_and_what_it_learnt_from(manifest, own, tmp_path):
    copy = tmp_path / "copied"
    shutil.copytree(own, copy)
    bundle = fit(recipe_for(copy), manifest, tmp_path / "bundle", **QUIET)
    shutil.rmtree(copy)
    again, first = Bundle.load(tmp_path / "bundle"), Bundle.load(own)
    encoder = again.recipe.detector["encoder"]
    assert (encoder["weights"], encoder["width"], encoder["digest"]) == ("copied", 4, first.digest)
    assert again.provenance.weights == {"model.safetensors": WeightsFile.of(own / "model.safetensors").sha256}
    assert again.seen.images["encoder"] == first.seen.images["normal"]
    assert again.seen.pixels["encoder"] == first.seen.pixels["normal"]
    assert again.seen.patients["encoder"] == first.seen.patients["normal"]
    count = first.provenance.cohorts["normal"]
    (note,) = again.provenance.training["notes"]
    assert note == f"encoder copied (bundle {first.digest[:12]}) has learned from {count} normal images"
    images = np.random.default_rng(0).random((2, 1, 32, 32), np.float32)
    np.testing.assert_array_equal(bundle.judge(images).scores, again.judge(images).scores)


def test_a_fit_whose_held_out_normals_the_encoder_learnt_from_is_refused(manifest, own, tmp_path):
    with pytest.raises(
        UserError, match=r"encoder own has learned from .* of the validation cohort"
    ) as caught:
        fit(recipe_for(own), manifest, tmp_path / "bundle", seed=1, **QUIET)
    assert "learn it with this manifest, seed and cohorts" in str(caught.value)
    assert not (tmp_path / "bundle").exists()


def test_an_image_that_the_encoder_alone_learnt_from_counts_as_seen(manifest, own, tmp_path):
    first = Bundle.load(own)
    bundle = fit(recipe_for(own, cohorts={"max_normal": 4}), manifest, tmp_path / "bundle", **QUIET)
    learnt = set(first.seen.images["normal"]) - set(bundle.seen.images["normal"])
    assert learnt
    found = {row.digest: row.seen for row in score(bundle, manifest, where=["split=train"], workers=0).rows}
    assert {found[digest] for digest in learnt} == {"encoder"}


def test_images_that_are_prepared_otherwise_are_noted(own):
    recipe = recipe_for(
        own, preprocessing={"size": [32, 32], "steps": [{"percentiles": {"low": 1, "high": 99}}]}
    )
    _, note = LearntBefore.of(recipe).notes(recipe)
    assert "prepared by other steps" in note
    assert LearntBefore.of(Recipe.load("padim")) is None


def test_what_was_seen_is_kept_for_one_encoder_alone(own, tmp_path):
    other = shutil.copytree(own, tmp_path / "other")
    members = {name: recipe_for(place).detector for name, place in (("a", own), ("b", other))}
    with pytest.raises(UserError, match="several learned encoders"):
        LearntBefore.of(recipe_for(own, detector={"name": "average", "of": members}))


def test_the_teachers_of_patches_are_such_an_encoder_for_the_patches_of_other_methods(manifest, tmp_path):
    students = {
        "name": "uninformed-students",
        "patches": [17],
        "width": 2,
        "descriptor": 4,
        "encoder": {"weights": "random", "layer": "features.4"},
        "enlarged": 16,
        "across": [1, 2],
    }
    stages = {name: {"steps": 2, "batch_size": 4} for name in ("teacher", "students")}
    size = {"preprocessing": {"size": [32, 32]}}
    taught = Recipe.from_mapping({**size, "detector": students, "stages": stages})
    first = fit(taught, manifest, tmp_path / "taught", **QUIET)
    encoder = {"name": "patch_teacher", "weights": str(tmp_path / "taught"), "dense": True}
    for model in ({"name": "knn", "neighbours": 1}, {"name": "k-means", "centres": 3}, {"name": "ocsvm"}):
        detector = {"name": "classic", "model": model, "of": "patches", "encoder": encoder}
        folder = tmp_path / model["name"]
        fit(Recipe.from_mapping({**size, "detector": detector}), manifest, folder, **QUIET)
        bundle = Bundle.load(folder)
        assert bundle.detector.maps.grids == ((32, 32),)
        assert bundle.seen.images["encoder"] == first.seen.images["normal"]
        given, kept = (one.detector.state_dict() for one in (first, bundle))
        name = "networks.0.steps.0.weight"
        assert (given[f"teachers.{name}"] == kept[f"maps.encoder.{name}"]).all()
