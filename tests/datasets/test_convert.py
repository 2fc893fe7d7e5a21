import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.datasets import DATASETS
from secondread.datasets.convert import dataset
from secondread.datasets.names import dataset_named
from secondread.errors import UserError
from secondread.recipes.recipe import Recipe

LAG = ("non_glaucoma/image/1.jpg", "suspicious_glaucoma/image/5.jpg")


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["dataset", *map(str, arguments)])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.mark.parametrize("name", tuple(DATASETS))
def test_every_set_says_what_it_is_and_where_its_layout_was_read(name):
    kind = DATASETS.find(name)
    assert all(getattr(kind, word) for word in ("title", "licence", "source", "paper", "layout", "split"))
    assert kind.name() == name
    assert kind.forms
    assert all(len(read.split(": ")) == 2 and "/" in read for read in kind.read_from)
    assert all(option in ("part", "normal", "readers", "modality", "slices") for option in kind.takes)


@pytest.mark.parametrize("name", tuple(DATASETS))
def test_every_set_says_in_one_line_what_it_seeks_in_an_empty_folder(name, tmp_path):
    kind = DATASETS.find(name)
    with pytest.raises(UserError) as error:
        dataset(name, tmp_path)
    said = str(error.value)
    assert "\n" not in said
    assert all(form.marks[0].replace("|", " or ") in said for form in kind.forms)
    assert f"get the data set from {kind.source}" in said


@pytest.mark.parametrize("spelling", ["kermany-cxr", "Kermany_CXR", "KERMANY CXR"])
def test_names_are_taken_in_any_usual_spelling(spelling):
    assert dataset_named(spelling).name() == "kermany-cxr"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("kermny-cxr", "kermany-cxr"),
        ("RSNA", "rsna-pneumonia"),
        ("octmnist", "medmnist"),
        ("isic", "isic2018"),
        ("liver", "bmad-liver"),
    ],
)
def test_an_unknown_name_gets_near_names(name, near):
    with pytest.raises(
        UserError, match=rf"no data set is called '{name}'; did you mean .*{near}.*\? `second"
    ):
        dataset_named(name)


def test_a_folder_in_place_of_a_name_says_which_layout_it_has(lay_out, tmp_path):
    error = run(lay_out(*LAG), code=2).stderr
    assert "its layout is that of lag: secondread dataset lag" in error
    (tmp_path / "other").mkdir()
    assert "`secondread index` takes any folder" in run(tmp_path / "other", code=2).stderr


def test_the_set_of_ones_own_that_the_page_shows_works(lay_out, tmp_path, monkeypatch):
    page = Path(__file__).resolve().parents[2] / "docs" / "data-sets.md"
    shown = page.read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "ward_films.py").write_text(shown)
    monkeypatch.syspath_prepend(tmp_path)
    output = tmp_path / "ward.csv"
    result = run("ward_films:Ward", lay_out("healthy/1.png", "fractures/2.png"), "-o", output)
    assert "no split  abnormal            1" in result.stderr
    assert "no data set is called" in run("ward-films", code=2).stderr


def test_the_setting_that_repeats_the_papers_is_one_of_recipes():
    said = run("rsna-pneumonia").stdout
    setting = said.split('--set "')[1].split('"')[0]
    recipe = Recipe.load("padim", set=[setting])
    assert recipe.preprocessing.steps[0].window == "ddad"


def test_the_command_lists_describes_and_writes(lay_out, tmp_path):
    listed = run().stdout
    assert all(name in listed for name in DATASETS)
    assert listed == run("--list").stdout
    described = run("lag").stdout
    assert "academic use" in described
    assert "secondread dataset lag FOLDER -o lag.csv" in described
    output = tmp_path / "lag.csv"
    result = run("lag", lay_out(*LAG), "-o", output)
    assert result.stdout.strip() == str(output)
    assert "licence: academic use" in result.stderr
    assert "no split  abnormal            1" in result.stderr
    assert "guessed: no masks" in result.stderr
    assert "note: 2 of 2 images without a patient id" in result.stderr
    rows = list(csv.DictReader(output.read_text().splitlines()))
    assert [(output.parent / row["path"]).is_file() for row in rows] == [True, True]
    record = json.loads((tmp_path / "lag.csv.run.json").read_text())
    assert record["dataset"]["name"] == "lag"


def test_a_repartition_that_names_what_is_not_there_ends_with_findings(lay_out, tmp_path):
    lists = {"train": {"0": ["1.jpg", "2.jpg"]}, "test": {"1": ["5.jpg"]}}
    folder = lay_out(*LAG, texts={"list.json": json.dumps(lists)})
    result = run("lag", folder, "-o", tmp_path / "m.csv", "--split-file", folder / "list.json", code=1)
    assert "1 of 3 names" in result.stderr


def test_the_same_command_again_writes_again_and_another_needs_force(lay_out, tmp_path):
    folder, output = lay_out(*LAG), tmp_path / "m.csv"
    run("lag", folder, "-o", output)
    run("lag", folder, "-o", output)
    other = ("lag", folder, "-o", output, "--where", "label=normal")
    assert "--force" in run(*other, code=2).stderr
    run(*other, "--force")
    assert len(output.read_text().splitlines()) == 2


def test_wrong_use_is_one_line(lay_out, tmp_path):
    folder = lay_out(*LAG)
    for arguments, said in (
        (("lag", folder), "where to? give -o lag.csv"),
        (("lag", folder, "-o", tmp_path / "m.csv", "--readers", 2), "lag has no such choice; it takes none"),
        (("oct2017", folder, "-o", tmp_path / "m.csv", "--protocol", "aeflow"), "did you mean ae-flow?"),
        (("lag", tmp_path / "nowhere", "-o", tmp_path / "m.csv"), "no such file or folder; get the data set"),
    ):
        error = run(*arguments, code=2).stderr
        assert said in error
        assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "m.csv").exists()
