"""What is known of a fit in a second."""

import shutil
from collections import namedtuple
from dataclasses import replace

import pytest

from secondread.estimators.outlier_models import MODELS
from secondread.fitting.checks import at_hand
from secondread.fitting.checks.first_look import Look, first_look
from secondread.recipes.known_needs import known_needs
from secondread.recipes.packages_needed import PYOD
from secondread.recipes.recipe import Recipe, presets

Usage = namedtuple("Usage", "total used free")


def told(recipe: Recipe, manifest, tmp_path, **more) -> list[str]:
    look = Look(cache=tmp_path / "cache", **more)
    return [problem.text for problem in first_look(recipe, manifest, look, out=tmp_path / "bundle")]


def test_nothing_is_told_of_a_fit_that_can_be_made(recipe, phantoms, tmp_path):
    assert told(recipe, phantoms, tmp_path) == []


def test_a_full_disk_is_told_before_an_image_is_prepared(recipe, phantoms, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(1 << 40, 1 << 40, 1 << 16))
    images, output = sorted(told(recipe, phantoms, tmp_path))
    assert "prepared images take" in images + output
    assert "choose another place with -o" in images + output


def test_a_manifest_without_split_and_an_unknown_detector_are_told_together(recipe, phantoms, tmp_path):
    rows = tuple(replace(row, split="") for row in phantoms.rows)
    other = recipe.model_copy(update={"detector": {"name": "padin"}})
    unknown, split = told(other, replace(phantoms, rows=rows), tmp_path)
    assert "did you mean padim?" in unknown
    assert "no row has a split; run `secondread split" in split


def test_missing_packages_are_told_with_the_command(monkeypatch):
    monkeypatch.setattr(at_hand, "find_spec", lambda name: None)
    (pyod,) = at_hand.missing(Recipe.load("hbos", set=["detector.encoder.weights=random"]))
    assert "PyOD's, which is not installed: run pip install" in pyod
    assert set(PYOD) == {name for name, kind in MODELS.items() if kind.package == "PyOD"}
    (vit,) = at_hand.missing(Recipe.load("anomaly-dino-paper"))
    assert "needs the package transformers" in vit


@pytest.mark.parametrize("name", [preset.name for preset in presets()][::9])
def test_the_needs_of_a_preset_are_known_whatever_its_encoder(name):
    recipe = Recipe.load(name)
    assert known_needs(recipe) == set(recipe.about.needs)


@pytest.mark.parametrize("cohort", ["validation", "calibration"])
def test_a_cohort_that_a_fit_needs_at_its_end_is_missed_at_once(cohort, recipe, phantoms, tmp_path):
    without = recipe.model_copy(update={"cohorts": recipe.cohorts.model_copy(update={cohort: 0.0})})
    assert told(without, phantoms, tmp_path) == [f"cohort {cohort!r} is empty; raise cohorts.{cohort}"]
