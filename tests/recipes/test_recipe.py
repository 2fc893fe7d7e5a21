import subprocess
import sys

import numpy as np
import pytest
import yaml

from secondread.errors import UserError
from secondread.recipes.recipe import Recipe, presets

NAMES = [preset.name for preset in presets()]
MINIMAL = """\
preprocessing: {size: [32, 32]}
detector: {name: mean-intensity}
"""


def mistake(*settings: str) -> str:
    with pytest.raises(UserError) as caught:
        Recipe.load("aeflow", set=list(settings))
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_survives_writing_and_reading(name, tmp_path):
    recipe = Recipe.load(name)
    path = tmp_path / "mine.yaml"
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    assert Recipe.load(path) == Recipe.load(str(path)) == recipe


def test_reading_recipes_imports_no_torch():
    code = (
        "import sys; from secondread.recipes.recipe import Recipe, presets; presets(); Recipe.load('aeflow')"
    )
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)


def test_settings_are_put_over_the_recipe_in_order():
    recipe = Recipe.load(
        "aeflow",
        set=[
            "seed=3",
            "detector.beta=0.7",
            "stages.flow.optimiser.lr=1e-3",
            "preprocessing.steps.0.window={low: 0, high: 80}",
            "preprocessing.steps.0.window.low=-10",
            "detector.flow.new=[1, 2]",
        ],
    )
    assert recipe.seed == 3
    assert recipe.detector["beta"] == 0.7
    assert recipe.detector["flow"]["new"] == [1, 2]
    assert recipe.detector["encoder"] == Recipe.load("aeflow").detector["encoder"]
    assert recipe.stages["flow"].optimiser.lr == 1e-3
    assert recipe.preprocessing.steps[0].model_dump() == {"window": {"low": -10.0, "high": 80.0}}


def test_an_unknown_preset_names_the_nearest_and_where_all_are_listed():
    with pytest.raises(
        UserError, match=r"no preset is called 'aeflo'; did you mean aeflow.*\? `secondread recipes` lists"
    ):
        Recipe.load("aeflo")


def test_a_preset_in_other_capitals_is_known_again():
    with pytest.raises(UserError, match=r"no preset is called 'AEFLOW'; did you mean aeflow "):
        Recipe.load("AEFLOW")
    with pytest.raises(UserError, match=r"did you mean the preset padim\?$"):
        Recipe.load("PaDiM.yaml")


def test_names_with_commas_are_told_that_spaces_separate_them():
    with pytest.raises(UserError, match=r"'padim, aeflow': .* separated by spaces, as in padim aeflow$"):
        Recipe.load("padim, aeflow")


def test_a_misspelt_recipe_file_is_told_near_names_in_its_folder_and_among_the_presets(tmp_path):
    (tmp_path / "mine.yaml").write_text("{}")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError, match=r"mine\.yml: no such file; did you mean \S*mine\.yaml\?$"):
        Recipe.load(tmp_path / "mine.yml")
    with pytest.raises(UserError, match=r"did you mean the preset padim\?$"):
        Recipe.load(tmp_path / "padin.yaml")
    with pytest.raises(UserError, match=r"no such file; recipes in that folder: mine\.yaml; "):
        Recipe.load(tmp_path / "zzzzzz.yaml")
    with pytest.raises(UserError, match=r"no such file, and there is no folder \S*gone; "):
        Recipe.load(tmp_path / "gone" / "mine.yaml")


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("seed=x", "seed is 'x': input should be a valid integer"),
        ("sed=3", "sed is not a setting; did you mean seed? allowed here: about, calibration, "),
        ("stages.flow.epoch=3", "stages.flow.epoch is not a setting; did you mean epochs? allowed here: "),
        ("stages.flow.optimiser.lr=-1", "stages.flow.optimiser.lr is -1: input should be greater than 0"),
        ("stages.flow.optimiser.name=foo", "stages.flow.optimiser.name is 'foo': input should be 'adam'"),
        ("stages.flow=[1]", "stages.flow is [1]: it should be a mapping of settings"),
        ("cohorts.validation=2", "cohorts.validation is 2: input should be less than 1"),
        ("preprocessing.steps.0.window=foo", "preprocessing.steps.0.window is 'foo': input should be "),
        ("preprocessing.steps.0.window={low: 3}", "preprocessing.steps.0.window.high is missing"),
        ("preprocessing.steps.0={windw: 1}", "preprocessing.steps.0 is {'windw': 1}: a step is one name"),
        ("detector={}", "detector is {}: needs a name, such as name: aeflow"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_the_key_what_was_written_and_what_is_allowed(setting, line):
    told = mistake(setting)
    assert told.startswith(f"preset aeflow: {line}")
    assert "\n" not in told


def test_every_mistake_is_told_at_once():
    assert len(mistake("seed=x", "sed=3", "cohorts.validation=2").splitlines()) == 3


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("beta", "write KEY=VALUE"),
        ("a..b=3", "write KEY=VALUE"),
        ("seed=[", "the value is not YAML"),
        ("preprocessing.steps.9=1", "'9' is not an index from 0 to 0"),
        ("seed.x=1", "the recipe has the value 0 there, and no 'x' in it"),
    ],
)
def test_a_setting_that_fits_nowhere_is_quoted(setting, line):
    told = mistake("seed=0", setting)
    assert told.startswith(f"--set {setting!r}: ")
    assert line in told


def test_a_recipe_file_that_is_not_one_is_named(tmp_path):
    broken, listed, binary = tmp_path / "broken.yaml", tmp_path / "list.yaml", tmp_path / "binary.yaml"
    broken.write_text("detector:\n  name: [aeflow\n")
    listed.write_text("- 1\n")
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"broken\.yaml, line 3, column 1: is not YAML"):
        Recipe.load(broken)
    with pytest.raises(UserError, match=r"list\.yaml: a recipe is a mapping"):
        Recipe.load(listed)
    with pytest.raises(UserError, match=r"binary\.yaml: is not a text file"):
        Recipe.load(binary)
    with pytest.raises(UserError, match=r"none\.yaml: no such file"):
        Recipe.load(tmp_path / "none.yaml")


def test_a_recipe_runs_no_code(tmp_path):
    path = tmp_path / "evil.yaml"
    path.write_text(MINIMAL + "seed: !!python/object/apply:os.getpid []\n")
    with pytest.raises(UserError, match="is not YAML"):
        Recipe.load(path)


def test_a_short_recipe_takes_the_defaults(tmp_path):
    path = tmp_path / "short.yaml"
    path.write_text(MINIMAL)
    recipe = Recipe.load(path)
    assert recipe.cohorts.validation == 0.1
    assert recipe.precision == "auto"
    assert yaml.safe_load(recipe.to_yaml())["calibration"]["false_alarm_rate"] == 0.05


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("preprocessing.steps=[{window: {low: 80, high: 20}}]", "low (80) must lie below high (20)"),
        ("preprocessing.size=[48]", "size is [48]: the list should have at least 2 items, not 1"),
    ],
)
def test_a_value_is_told_what_it_breaks_and_not_what_else_could_stand_there(setting, told):
    assert mistake(setting).endswith(told)


@pytest.mark.parametrize("seed", [-1, 3.0, "3", True, 2**63])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(UserError, match="give a whole number from 0"):
        Recipe.load("padim").with_seed(seed)


def test_seeds_of_numpy_are_taken():
    assert Recipe.load("padim").with_seed(np.int64(3)) == Recipe.load("padim", set=["seed=3"])


def test_one_text_is_no_list_of_settings():
    with pytest.raises(UserError, match=r"set is one text, and a list is meant: set=\['seed=3'\]"):
        Recipe.load("padim", set="seed=3")
