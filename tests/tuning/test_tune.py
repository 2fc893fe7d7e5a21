"""Settings are searched without a label and without a test row; a search goes on, and refuses what it cannot
compare."""

import csv
import shutil

import pytest

from secondread.cohorts.manifest import Manifest
from secondread.errors import UserError
from secondread.recipes.recipe import Recipe
from secondread.tuning.objectives import caution
from secondread.tuning.space import Varied
from secondread.tuning.tune import TABLE, TRIALS, development, tune

pytest.importorskip("optuna")
VARY = ["detector.bands=4,8,12"]


@pytest.fixture(scope="module")
def how(tmp_path_factory):
    return {"cache": tmp_path_factory.mktemp("cache"), "workers": 0, "device": "cpu", "progress": False}


@pytest.fixture(scope="module")
def without_test_files(phantoms, tmp_path_factory) -> Manifest:
    """The phantoms with the test rows in the manifest, and their files gone."""
    folder = tmp_path_factory.mktemp("development") / "films"
    shutil.copytree(phantoms.base, folder)
    shutil.rmtree(folder / "test")
    return Manifest.read(folder / "manifest.csv")


@pytest.fixture(scope="module")
def found(recipe, without_test_files, how, tmp_path_factory):
    out = tmp_path_factory.mktemp("tuned") / "out"
    first = tune(recipe, without_test_files, VARY, out, trials=2, anomalies=["fpi"], **how)
    return first, tune(recipe, without_test_files, VARY, out, trials=4, anomalies=["fpi"], **how)


def test_a_search_needs_no_test_image_and_goes_on_where_it_was(found) -> None:
    first, second = found
    assert len(first.trials) == 2
    assert second.trials[:2] == first.trials
    assert len(second.trials) == 4
    assert all(0.0 <= trial.value <= 1.0 for trial in second.trials)


def test_the_best_recipe_is_that_of_the_highest_value(found, recipe) -> None:
    best = max(found[1].trials, key=lambda trial: trial.value)
    written = Recipe.load(found[1].folder / "best.yaml")
    assert written == found[1].best
    assert written.detector["bands"] == best.values["detector.bands"]
    assert written.preprocessing == recipe.preprocessing


def test_the_table_and_the_page_have_all_trials(found) -> None:
    folder = found[1].folder
    with (folder / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[0]["value"]) == found[1].trials[0].value
    page = (folder / "tune.html").read_text(encoding="utf-8")
    assert "data:image/png" in page
    assert "detector.bands" in page
    assert not any((folder / "trials").iterdir())


def test_a_trial_that_a_stop_cut_short_is_done_again(
    found, recipe, without_test_files, how, tmp_path
) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    out = tmp_path / "out"
    shutil.copytree(found[1].folder, out)
    storage = JournalStorage(JournalFileBackend(str(out / TRIALS)))
    cut = optuna.load_study(study_name="tune", storage=storage).ask()
    place = cut.suggest_categorical("detector.bands", [0, 1, 2])
    again = tune(recipe, without_test_files, VARY, out, trials=5, anomalies=["fpi"], **how)
    assert len(again.trials) == 5
    assert again.trials[:4] == found[1].trials
    assert again.trials[4].values["detector.bands"] == (4, 8, 12)[place]


def test_trials_that_failed_are_done_again_by_the_next_command(
    recipe, without_test_files, how, tmp_path, monkeypatch
) -> None:
    asked = {"out": tmp_path / "out", "trials": 3, "anomalies": ["fpi"], **how}

    def failing(*_: object, **__: object) -> None:
        raise UserError("no weights here")

    with monkeypatch.context() as without_weights:
        without_weights.setattr("secondread.tuning.tune.fit", failing)
        for _ in range(2):
            with pytest.raises(
                UserError, match="no trial could be fitted; the first failed: no weights here"
            ):
                tune(recipe, without_test_files, VARY, **asked)
    with (tmp_path / "out" / TABLE).open() as file:
        failed = [row["detector.bands"] for row in csv.DictReader(file)]
    again = tune(recipe, without_test_files, VARY, **asked)
    assert [str(trial.values["detector.bands"]) for trial in again.trials] == failed
    assert all(trial.value is not None for trial in again.trials)
    assert tune(recipe, without_test_files, VARY, **asked).trials == again.trials


def test_another_search_in_the_folder_is_refused(found, recipe, without_test_files, how) -> None:
    with pytest.raises(UserError, match="a search with another vary was begun there"):
        tune(recipe, without_test_files, ["detector.bands=4,8"], found[1].folder, **how)


@pytest.mark.parametrize(
    ("vary", "objective", "words"),
    [
        (["detector.bands"], "synthetic", "write KEY=LOW..HIGH"),
        (["detector.bands=8"], "synthetic", "two different values or more"),
        (["detector.bands=9..4"], "synthetic", "no range of numbers"),
        (["cohorts.validation=0.1..0.3"], "synthetic", "trials could not"),
        (["detector.bands=4,8", "detector.bands=4,9"], "synthetic", "stands twice"),
        ([], "synthetic", "at least one setting with --vary"),
        (["detector.bandz=4,8"], "synthetic", "bandz"),
        (["detector.bands=4,-3"], "synthetic", "detector.bands is -3"),
        (["detector.bands=4..16.5"], "synthetic", "should be a valid integer"),
        (["detector.bands=4,8", "preprocessing.size=[32,32],[32]"], "synthetic", "preprocessing.size"),
        (["detector.bands=4,8"], "auroc", "chosen without labels"),
        (["detector.bands=4,8"], "held-out", "another loss"),
    ],
)
def test_what_cannot_be_varied_or_compared_is_refused_before_a_fit(
    vary, objective, words, recipe, phantoms, how, tmp_path
) -> None:
    with pytest.raises(UserError, match=words):
        tune(recipe, phantoms, vary, tmp_path / "out", objective=objective, **how)
    assert not (tmp_path / "out").exists()


def test_rows_without_a_split_are_refused(phantoms) -> None:
    bare = Manifest(tuple(row for row in phantoms.where("split=test")), phantoms.base)
    with pytest.raises(UserError, match="no row meets"):
        development(bare)
    rows = tuple(type(row)(row.path) for row in phantoms)
    with pytest.raises(UserError, match="nothing tells which rows"):
        development(Manifest(rows, phantoms.base))


def test_an_anomaly_that_the_recipe_learns_from_is_warned_of() -> None:
    assert "learns from fpi itself" in caution("synthetic", Recipe.load("fpi"), ["fpi", "nsa"])
    assert caution("synthetic", Recipe.load("padim"), ["fpi"]) == ""


def test_ranges_and_lists_are_read_as_set_reads_values() -> None:
    assert Varied.parse("a.b=1e-4..1e-2") == Varied("a.b", low=1e-4, high=1e-2)
    assert Varied.parse("a=[8,8],[16,16]").values == ([8, 8], [16, 16])
    assert not Varied.parse("a=1..10").logarithmic
    assert Varied.parse("a.b=x,true,3").said() == "a.b=x,true,3"
