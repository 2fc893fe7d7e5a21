"""`tune` writes the best recipe, and a logger that is not there is refused before anything is read."""

from pathlib import Path

import pytest
from page_rules import faults
from test_commands import one_error, run

from secondread.cohorts.manifest import Manifest
from secondread.recipes.recipe import Recipe

pytest.importorskip("optuna")


def test_the_best_recipe_is_written_and_can_be_taken(phantoms: Manifest, recipe: Recipe, tmp_path) -> None:
    manifest, mine, out = phantoms.base / "manifest.csv", tmp_path / "mine.yaml", tmp_path / "tuned"
    mine.write_text(recipe.to_yaml(), encoding="utf-8")
    command = ("tune", mine, manifest, "--vary", "detector.bands=4,8", "--anomalies", "fpi", "-o", out)
    told = run(*command, "--trials", 1, "--cache", tmp_path / "cache", "--workers", 0)
    assert told.splitlines()[-1] == str(out / "best.yaml")
    assert "trial 1/1  detector.bands=" in told
    assert faults((out / "tune.html").read_text(encoding="utf-8")) == []
    assert Recipe.load(out / "best.yaml").detector["bands"] in (4, 8)


@pytest.mark.parametrize("command", ["fit", "compare"])
def test_a_logger_that_is_not_there_is_one_line(command: str, phantoms: Manifest, tmp_path: Path) -> None:
    manifest = phantoms.base / "manifest.csv"
    what = ("spectrum", manifest) if command == "fit" else (manifest, "--recipes", "spectrum")
    line = one_error(run(command, *what, "--logger", "wandb", "-o", tmp_path / "out", code=2))
    assert "no logger is called 'wandb'; there is csv, tensorboard, mlflow" in line
    assert list(tmp_path.iterdir()) == []
