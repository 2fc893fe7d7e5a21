"""A comparison of what is in memory: rows of a DataFrame, recipes as objects and mappings."""

import numpy as np
import pytest
import torch

import secondread
from secondread.comparison.compare import MANIFEST, run_plan
from secondread.comparison.running.here import run_here
from secondread.comparison.running.one_run import LOG, Task
from secondread.comparison.running.plan import Plan
from secondread.comparison.running.task_display import Quiet
from secondread.errors import UserError


def test_rows_of_a_data_frame_and_recipe_objects_go_on_in_their_folder(phantoms, recipe, tmp_path) -> None:
    """The plan alone is run, without a fit: what is written is what every run reads."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"path": [phantoms.reference(row) for row in phantoms], "split": [row.split for row in phantoms],
         "label": [row.label for row in phantoms]}
    )  # fmt: skip
    asked = []
    recipes = {"mine": recipe, "other": recipe.model_dump(mode="json"), "third": "intensity"}
    for _ in range(2):
        manifest = secondread.Manifest.of(frame).with_absolute_paths()
        plan = Plan.of(manifest, recipes, seeds=[0], settings=["mine:detector.bands=9"])
        with pytest.raises(UserError, match="no run"):
            run_plan(plan, tmp_path / "out", asked.append)
    task = asked[-1][0]
    assert task.manifest == str(tmp_path / "out" / MANIFEST)
    assert task.recipe["detector"]["bands"] == 9
    written = secondread.Manifest.read(task.manifest)
    assert written.digest == manifest.digest
    assert [method.name for method in plan.methods][:3] == ["mine", "other", "third"]


def test_images_that_will_not_stay_cannot_be_compared(tmp_path) -> None:
    manifest = secondread.manifest_of_arrays(np.eye(8)[None])
    with pytest.raises(UserError, match="give manifest_of_arrays a folder"):
        secondread.compare(manifest, ["spectrum"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_runs_in_this_process_keep_their_reasons_and_their_words(tmp_path, capsys) -> None:
    threads = torch.get_num_threads()
    tasks = [Task(str(tmp_path / name), str(tmp_path / "none.csv"), {}, maps=False) for name in "ab"]
    told = []

    class Told(Quiet):
        def ended(self, task, how, why=""):
            told.append((task.place.name, how))

    run_here(tasks, show=Told())
    assert told == [("a", "failed"), ("b", "failed")]
    assert "none.csv" in tasks[1].failed
    assert "none.csv" in (tmp_path / "b" / LOG).read_text(encoding="utf-8")
    assert capsys.readouterr().err == ""
    assert torch.get_num_threads() == threads
