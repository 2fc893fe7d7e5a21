"""What a comparison settles before anything is fitted."""

import json

import numpy as np
import pytest

from secondread.cohorts.manifest import Manifest
from secondread.comparison.compare import run_plan
from secondread.comparison.running.plan import Plan, Run
from secondread.errors import UserError


@pytest.fixture
def manifest(tmp_path):
    lines = ["path,split,label,mask"]
    for split in ("train", "test"):
        lines += [
            f"{split}/{label}-{n}.png,{split},{label}," for label in ("normal", "abnormal") for n in range(3)
        ]
    path = tmp_path / "manifest.csv"
    path.write_text("\n".join(lines))
    return Manifest.read(path)


def test_the_trivial_baselines_join_with_the_first_recipes_preprocessing_and_cohorts(manifest):
    plan = Plan.of(
        manifest,
        ["intensity", "padim"],
        seeds=[0],
        settings=["cohorts.unlabelled=7", "intensity:preprocessing.size=[48,48]"],
    )
    assert [method.name for method in plan.methods] == [
        "intensity", "padim", "mean-intensity", "pixel-1nn", "spectrum",
    ]  # fmt: skip
    assert {method.recipe.cohorts.unlabelled for method in plan.methods} == {7}
    for method in plan.methods[2:]:
        assert method.trivial
        assert method.recipe.preprocessing == plan.methods[0].recipe.preprocessing
    assert plan.reference == "intensity"


def test_a_preset_stands_twice_where_unlabelled_images_are_normal_to_one_row_alone(manifest):
    setting = "padim+:cohorts.unlabelled_as=normal"
    plan = Plan.of(manifest, ["padim+=padim", "padim"], seeds=[0], settings=[setting])
    said = {method.name: method.recipe.cohorts.unlabelled_as for method in plan.methods}
    assert said.pop("padim+") == "normal"
    assert set(said.values()) == {"unlabelled"}
    for_all = Plan.of(manifest, ["padim"], seeds=[0], settings=["cohorts.unlabelled_as=normal"])
    assert {method.recipe.cohorts.unlabelled_as for method in for_all.methods} == {"normal"}
    with pytest.raises(UserError, match="density-ratio learns from unlabelled images itself; set"):
        Plan.of(manifest, ["density-ratio"], seeds=[0], settings=["cohorts.unlabelled_as=normal"])


def test_auxiliary_images_are_found_from_the_recipes_file_and_are_not_the_baselines(
    manifest, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes" / "dtd").mkdir(parents=True)
    mine = tmp_path / "recipes" / "mine.yaml"
    text = "about: {title: mine, needs: [normal, auxiliary]}\n"
    text += "preprocessing: {size: [32, 32]}\ndetector: {name: ae}\n"
    mine.write_text(text)
    with pytest.raises(UserError, match=r"mine needs auxiliary images.*--set mine:cohorts\.auxiliary=PATH"):
        Plan.of(manifest, ["recipes/mine.yaml"], seeds=[0])
    with pytest.raises(UserError, match="no such file or folder"):
        Plan.of(manifest, ["recipes/mine.yaml"], seeds=[0], settings=["mine:cohorts.auxiliary=gone"])
    mine.write_text(text + "cohorts: {auxiliary: dtd}\n")
    for settings in ([], ["cohorts.auxiliary=recipes/dtd"]):
        plan = Plan.of(manifest, ["recipes/mine.yaml"], seeds=[0], settings=settings)
        assert plan.methods[0].recipe.cohorts.auxiliary == str(tmp_path / "recipes" / "dtd")
        assert {method.recipe.cohorts.auxiliary for method in plan.methods[1:]} == {None}


def test_a_baseline_that_is_asked_for_is_no_addition(manifest):
    plan = Plan.of(manifest, ["pixel-1nn", "intensity"], seeds=[0])
    assert [method.trivial for method in plan.methods if method.name == "pixel-1nn"] == [False]


def test_every_method_has_its_turn_before_the_next_seed_and_contaminated_runs_come_last(manifest):
    plan = Plan.of(manifest, ["intensity"], seeds=[0, 1], contamination=[0.1])
    runs = list(plan.runs())
    assert [run.seed for run in runs if not run.contamination] == [0] * 4 + [1] * 4
    assert runs[-2:] == [Run("intensity", 0, 0.1), Run("intensity", 1, 0.1)]
    assert plan.recipe(runs[-1]).cohorts.contamination == 0.1
    assert plan.recipe(runs[-1]).seed == 1


def test_one_recipe_stands_twice_under_two_names(manifest):
    plan = Plan.of(
        manifest, ["intensity", "sharp=intensity"], seeds=[0], settings=["sharp:detector.erosion=0"]
    )
    assert plan.method("sharp").recipe.detector["erosion"] == 0
    assert "erosion" not in plan.method("intensity").recipe.detector


@pytest.mark.parametrize(
    ("recipes", "changes", "said"),
    [
        (["intensity", "intensity"], {}, "named twice"),
        (["intensity"], {"reference": "padim"}, "--reference padim"),
        (["intensity"], {"settings": ["padim:detector.x=1"]}, "no method is called padim"),
        (["intensity"], {"settings": ["seed=3"]}, "give --seeds"),
        (["intensity"], {"settings": ["intensity:seed=3"]}, "give --seeds"),
        (["intensity"], {"contamination": [0.7]}, "--contamination 0.7"),
        (["intensity"], {"seeds": []}, "--seeds"),
        (["intensity"], {"seeds": [-1]}, "seed -1: give a whole number"),
        ("intensity", {}, r"recipes is one text, and a list is meant: recipes=\['intensity'\]"),
        ([3], {}, "recipes holds 3: a list is of presets and files by name; give recipes in a mapping"),
        (["intensity"], {"settings": "seed=3"}, "settings is one text"),
        (["intensity"], {"where": "split=test"}, "where is one text"),
        (["a/b=intensity"], {}, "a name of letters"),
        ([], {}, "at least one recipe"),
        (["intensty"], {}, "did you mean intensity"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused_before_any_fit(manifest, recipes, changes, said):
    with pytest.raises(UserError, match=said):
        Plan.of(manifest, recipes, **{"seeds": [0], **changes})


def test_seeds_may_be_those_of_numpy(manifest):
    plan = Plan.of(manifest, ["intensity"], seeds=np.arange(2))
    assert plan.seeds == (0, 1)
    assert all(type(seed) is int for seed in plan.seeds)


def test_a_manifest_without_both_labels_in_its_test_rows_is_refused(manifest):
    with pytest.raises(UserError, match="normal and abnormal test rows"):
        Plan.of(manifest, ["intensity"], seeds=[0], where=["label=normal"])


def test_a_folder_holds_its_plan_and_grows(manifest, tmp_path):
    out = tmp_path / "out"
    Plan.of(manifest, ["intensity"], seeds=[0]).begin(out)
    grown = Plan.of(manifest, ["intensity", "padim"], seeds=[0, 1], contamination=[0.05]).begin(out)
    assert Plan.read(out) == grown
    assert set(grown.seeds) == {0, 1}
    assert {method.name for method in grown.methods} >= {"intensity", "padim", "spectrum"}
    fewer = Plan.of(manifest, ["intensity"], seeds=[0]).begin(out)
    assert fewer == grown


def test_the_reference_is_named_before_there_are_results(manifest, tmp_path):
    out = tmp_path / "out"
    Plan.of(manifest, ["intensity", "padim"], seeds=[0]).begin(out)
    Plan.of(manifest, ["intensity", "padim"], seeds=[0], reference="padim").begin(out)
    result = out / Run("intensity", 0).place / "result.json"
    result.parent.mkdir(parents=True)
    result.write_text("{}")
    with pytest.raises(UserError, match="begun with the reference padim"):
        Plan.of(manifest, ["intensity", "padim"], seeds=[0]).begin(out)


def test_another_manifest_is_refused(manifest, tmp_path):
    out = tmp_path / "out"
    Plan.of(manifest, ["intensity"], seeds=[0]).begin(out)
    file = tmp_path / "manifest.csv"
    file.write_text(file.read_text() + "\ntest/more.png,test,normal,")
    with pytest.raises(UserError, match="another manifest"):
        Plan.of(Manifest.read(file), ["intensity"], seeds=[0]).begin(out)
    with pytest.raises(UserError, match="has changed"):
        Plan.read(out)


def test_a_folder_with_other_things_in_it_is_left_alone(manifest, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="other things"):
        Plan.of(manifest, ["intensity"], seeds=[0]).begin(tmp_path)


def test_the_plan_is_readable_json(manifest, tmp_path):
    Plan.of(manifest, ["intensity"], seeds=[0]).begin(tmp_path / "out")
    document = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert document["reference"] == "intensity"
    assert (tmp_path / "out" / "runs" / "intensity" / "recipe.yaml").is_file()


def test_further_recipes_alone_join_an_earlier_comparison(manifest, tmp_path):
    out = tmp_path / "out"
    first = Plan.of(manifest, ["intensity"], seeds=[0], contamination=[0.1]).begin(out)
    (out / Run("intensity", 0).place).mkdir(parents=True)
    (out / Run("intensity", 0).place / "result.json").write_text("{}")
    settings = ["cohorts.unlabelled=4", "small:preprocessing.size=[64,64]"]
    whole = Plan.of(manifest, ["small=padim"], settings=settings, earlier=first).begin(out)
    assert whole.reference == "intensity"
    assert whole.seeds == (0,)
    assert whole.contamination == (0.1,)
    assert [method.name for method in whole.methods] == [method.name for method in first.methods] + ["small"]
    assert whole.methods[:-1] == first.methods


def test_without_recipes_an_earlier_comparison_grows_by_seeds_and_contamination(manifest, tmp_path):
    out = tmp_path / "out"
    first = Plan.of(manifest, ["intensity"], seeds=[0], where=["split=train|test"]).begin(out)
    whole = Plan.of(manifest, [], seeds=[0, 1], contamination=[0.2], earlier=first).begin(out)
    assert (whole.seeds, whole.contamination, whole.where) == ((0, 1), (0.2,), ("split=train|test",))
    assert whole.methods == first.methods
    with pytest.raises(UserError, match="holds for recipes that are named"):
        Plan.of(manifest, [], settings=["detector.erosion=0"], earlier=first)


def test_the_manifest_may_lie_elsewhere_but_not_say_something_else(manifest, tmp_path):
    out = tmp_path / "out"
    Plan.of(manifest, ["intensity"], seeds=[0]).begin(out)
    (tmp_path / "manifest.csv").rename(tmp_path / "moved.csv")
    moved = Manifest.read(tmp_path / "moved.csv")
    assert Plan.read(out, moved).manifest.source.endswith("moved.csv")
    other = moved.where("label=normal")
    with pytest.raises(UserError, match=r"moved.csv: is not the manifest of the comparison"):
        Plan.read(out, other)


def test_a_method_with_other_settings_runs_again_alone_and_its_results_are_kept(manifest, tmp_path, capsys):
    out = tmp_path / "out"
    Plan.of(manifest, ["padim", "intensity"], seeds=[0]).begin(out)
    for name in ("padim", "intensity"):
        (out / Run(name, 0).place).mkdir(parents=True)
        (out / Run(name, 0).place / "result.json").write_text("{}")
    (out / Run("pixel-1nn", 0).place).mkdir(parents=True)
    changed = Plan.of(manifest, ["intensity"], seeds=[0], settings=["intensity:detector.erosion=0"],
                      earlier=Plan.read(out))  # fmt: skip
    with pytest.raises(UserError, match=r"other settings \(detector.erosion: \S+, now 0\)"):
        run_plan(changed, out, None)
    whole = changed.begin(out)
    assert "intensity has other settings now (detector.erosion: " in capsys.readouterr().err
    assert whole.method("intensity").recipe.detector["erosion"] == 0
    assert not (out / Run("intensity", 0).place).exists()
    assert (out / "earlier" / "intensity-1" / "seed-0" / "result.json").is_file()
    assert (out / Run("padim", 0).place / "result.json").is_file()
    assert (out / Run("pixel-1nn", 0).place).is_dir()


def test_baselines_follow_the_first_method_and_runs_without_a_result_give_way(manifest, tmp_path):
    out = tmp_path / "out"
    first = Plan.of(manifest, ["intensity"], seeds=[0]).begin(out)
    (out / Run("spectrum", 0).place).mkdir(parents=True)
    smaller = Plan.of(
        manifest, ["intensity"], settings=["intensity:preprocessing.size=[32,32]"], earlier=first
    )
    whole = smaller.begin(out)
    assert whole.method("spectrum").recipe.preprocessing.size == (32, 32)
    assert not (out / Run("spectrum", 0).place).exists()
    assert not (out / "earlier").exists()


def test_a_presets_new_words_or_new_defaults_are_no_other_settings(manifest, tmp_path):
    out = tmp_path / "out"
    plan = Plan.of(manifest, ["intensity"], seeds=[0])
    plan.begin(out)
    document = json.loads((out / "comparison.json").read_text())
    document["methods"]["intensity"]["recipe"]["about"]["title"] = "as it was called before"
    del document["methods"]["intensity"]["recipe"]["precision"]
    (out / "comparison.json").write_text(json.dumps(document))
    assert plan.begin(out) == plan


@pytest.mark.parametrize("text", ["{", "[]", '{"methods": 1}', '{"methods": {}}'])
def test_a_damaged_plan_is_said_in_one_line(manifest, tmp_path, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "comparison.json").write_text(text)
    with pytest.raises(UserError, match=r"comparison.json: is .*; choose a new folder"):
        Plan.of(manifest, ["intensity"], seeds=[0]).begin(tmp_path / "out")


def test_a_recipe_that_cannot_be_built_leaves_no_plan_behind(manifest, tmp_path):
    plan = Plan.of(manifest, ["intensity"], seeds=[0], settings=["intensity:detector.nonsense=1"])
    with pytest.raises(UserError, match="nonsense"):
        run_plan(plan, tmp_path / "out", lambda tasks: None)
    assert not (tmp_path / "out").exists()


def test_recipes_of_two_ranks_are_named_beside_what_else_cannot_run(manifest, tmp_path):
    plan = Plan.of(manifest, ["ddad-aeu", "aeu-volume"], seeds=[0])
    with pytest.raises(UserError) as told:
        run_plan(plan, tmp_path / "out", lambda tasks: None)
    assert "for images (ddad-aeu) and for volumes (aeu-volume) cannot stand in one table" in str(told.value)
    assert "ddad-aeu: detector ddad needs unlabelled images" in str(told.value)
    assert not (tmp_path / "out").exists()


def test_all_recipes_that_are_not_there_are_told_at_once(manifest):
    with pytest.raises(UserError) as told:
        Plan.of(manifest, ["padin", "intensity", "nothing.yaml"], seeds=[0])
    first, second = str(told.value).split("\n")
    assert "did you mean padim" in first
    assert "nothing.yaml: no such file" in second
    with pytest.raises(UserError, match="separated by spaces, as in padim aeflow"):
        Plan.of(manifest, ["padim,aeflow"], seeds=[0])
