"""Which recipe to start with, from what a manifest holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from secondread import Manifest, UserError, make_phantoms, suggest
from secondread.cohorts.row import Row
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """130 normal and 14 abnormal films, most of them in train."""
    folder = tmp_path_factory.mktemp("phantoms")
    return Manifest.read(make_phantoms(folder, seed=0, n_normal=130, n_abnormal=14, size=(32, 32)))


def trained_on(manifest: Manifest, **labels: int) -> Manifest:
    """The first rows of the manifest as so many training rows of each label."""
    rows = list(manifest.rows)
    made = []
    for label, count in labels.items():
        made += [
            replace(row, split="train", label="" if label == "unlabelled" else label) for row in rows[:count]
        ]
        rows = rows[count:]
    return replace(manifest, rows=tuple(made))


def names(manifest: Manifest) -> list[str]:
    return [suggestion.recipe for suggestion in suggest(manifest).suggestions]


def test_with_normals_alone_a_one_class_method_comes_first(manifest: Manifest) -> None:
    suggested = suggest(trained_on(manifest, normal=120))
    assert suggested.suggestions[0].recipe == "feature-subspace"
    assert suggested.found == "120 normal training images of some 32 × 32; 100 patients with normals"
    assert not any("threshold" in note for note in suggested.notes)


def test_with_unlabelled_images_ratios_to_the_normals_come_first(manifest: Manifest) -> None:
    first = names(trained_on(manifest, normal=60, unlabelled=60))[:2]
    assert first == ["feature-posterior", "density-ratio"]
    assert "density-ratio" not in names(trained_on(manifest, normal=60, unlabelled=10))


def test_a_few_labels_bring_the_mixture_and_many_a_supervised_row(manifest: Manifest) -> None:
    (few,) = [
        one
        for one in suggest(trained_on(manifest, normal=60, abnormal=5)).suggestions
        if one.recipe == "aeflow-gmm"
    ]
    assert "detector.mixture.learns_from=[abnormal]" in few.settings
    many = suggest(trained_on(manifest, normal=40, abnormal=100)).suggestions
    assert "detector.against=abnormal" in many[-1].settings


def test_without_normals_images_are_held_against_each_other(manifest: Manifest) -> None:
    suggested = suggest(trained_on(manifest, unlabelled=60))
    assert [one.recipe for one in suggested.suggestions] == ["mutual-scoring"]
    assert any("calibrate" in note for note in suggested.notes)


@pytest.mark.parametrize("unlabelled", [False, True])
def test_what_is_suggested_for_volumes_takes_volumes(tmp_path: Path, unlabelled: bool) -> None:
    nibabel.save(nibabel.Nifti1Image(np.ones((9, 8, 7), np.float32), np.eye(4)), tmp_path / "one.nii.gz")
    labels = [""] * 60 if unlabelled else ["normal", "abnormal", *[""] * 60]
    rows = [Row(path=f"{n}.nii.gz", split="train", label=label) for n, label in enumerate(labels)]
    suggested = suggest(Manifest((replace(rows[0], path="one.nii.gz"), *rows[1:]), tmp_path))
    assert "volumes" in suggested.found
    for suggestion in suggested.suggestions:
        recipe = Recipe.load(suggestion.recipe, set=suggestion.settings)
        with torch.device("meta"):
            assert build_detector(recipe, pretrained=False).size == (32, 128, 128)


def test_every_suggestion_is_a_recipe_that_loads(manifest: Manifest) -> None:
    for made in (
        trained_on(manifest, normal=40, abnormal=100),
        trained_on(manifest, normal=60, unlabelled=60, abnormal=5),
        trained_on(manifest, unlabelled=60),
    ):
        for suggestion in suggest(made).suggestions:
            Recipe.load(suggestion.recipe, set=suggestion.settings)


def test_few_patients_and_missing_splits_are_told(manifest: Manifest) -> None:
    notes = " ".join(suggest(trained_on(manifest, normal=30)).notes)
    assert "needs 19 calibration patients, and 0.2 of the 25 with normals are 5" in notes
    unsplit = replace(manifest, rows=tuple(replace(row, split="") for row in manifest.rows))
    assert "no row has a split yet" in " ".join(suggest(unsplit).notes)


def test_nothing_to_learn_from_and_files_that_cannot_be_read_are_one_line_each(
    manifest: Manifest, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="nothing to learn from"):
        suggest(trained_on(manifest, abnormal=3))
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"broken\.png"):
        suggest(Manifest((Row(path="broken.png", split="train", label="normal"),), tmp_path))
