"""Recipes that someone wrote to cost much, or by mistake: one line with its place, at once."""

import os
import time

import pytest

from secondread.errors import UserError
from secondread.recipes.recipe import Recipe

HEAD = "preprocessing: {size: [32, 32]}\ndetector: {name: mean-intensity}\n"
BOMB = "b0: &b0 [x]\n" + "\n".join(f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]" for i in range(1, 9))
DEEP = "a0: &a0 [x]\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 90))
RECIPES = {
    "date": ("seed: 2001-99-99", "seed is '2001-99-99'"),
    "time": ("seed: 2001-01-01T99:99:99Z", "seed is "),
    "int": ("seed: !!int abc", "line 3, column 7: is not YAML that is taken: it has a tag"),
    "float": ("seed: !!float x", "tag"),
    "binary": ("seed: !!binary x", "tag"),
    "set": ("seed: !!set {a}", "tag"),
    "local tag": ("seed: !x 1", "tag"),
    "tag directive": ("seed: !<tag:yaml.org,2002:python/name:os.system> x", "tag"),
    "digits": ("seed: " + "9" * 5_000, "seed is "),
    "fewer digits": ("seed: " + "9" * 300, "a number of 300 digits"),
    "binary digits": ("seed: 0b_", "'0b_' is not a number"),
    "sixties": ("seed: 1" + ":59" * 100, "a number of"),
    "infinity": ("seed: .inf", "not a finite number"),
    "nan": ("seed: .nan", "not a finite number"),
    "exponent": ("seed: 1.0e+999", "not a finite number"),
    "nested": ("seed: " + "[" * 3_000, "line 3, column 38: is nested more than 32 deep"),
    "nested mappings": ("seed: " + "{a: " * 3_000, "deep"),
    "nested blocks": ("seed:\n  " + "- " * 3_000, "deep"),
    "question marks": ("? " * 3_000, "a name should be text"),
    "a cycle": ("about: &a {title: *a}", "repeats nothing that ends before it"),
    "a list in itself": ("seed: &a [*a]", "repeats nothing that ends before it"),
    "an alias of nothing": ("seed: *a", "repeats nothing that ends before it"),
    "bomb": (BOMB, "more than 10,000 values"),
    "deep by aliases": (
        "a0: &a0 [x]\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 90)),
        "deep",
    ),
    "many": ("seed: [" + "1, " * 20_000 + "1]", "more than 10,000 values"),
    "long": ("seed: " + "x" * 300_000, "at most 262,144"),
    "a long text": ("seed: " + "x" * 20_000, "a text of 20,000 characters"),
    "a key twice": ("seed: 1\nseed: 2", "line 4, column 1: the name 'seed' stands twice"),
    "a key that is no text": ("1: 2", "a name should be text"),
    "a key that is a list": ("[a]: 2", "a name should be text"),
    "merge": ("<<: {seed: 3}", "<< is not a setting"),
    "two documents": ("---\nseed: 1", "a second document"),
    "half a surrogate": ('seed: "\\ud800"', "line 3, column"),
    "tab": ("seed:\n\t- 1", "line 4, column 1: is not YAML (a tab, where YAML is indented by spaces)"),
    "directives": ("%TAG ! x\n" * 1_000, "is not YAML"),
    "brackets": ("]" * 100_000, "is not YAML"),
    "quotes": ("'" * 99_999, ""),
    "stars": ("*" * 50_000, "is not YAML"),
    "colons": (": " * 50_000, ""),
}


@pytest.mark.parametrize(("text", "line"), RECIPES.values(), ids=RECIPES)
def test_a_recipe_that_is_none_is_refused_in_one_line_at_once(tmp_path, text: str, line: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + text + "\n")
    began = time.process_time()
    with pytest.raises(UserError) as caught:
        Recipe.load(path)
    assert time.process_time() - began < 1
    told = str(caught.value)
    assert told.startswith(str(path))
    assert line in told
    assert all(len(one) < 500 for one in told.splitlines())


@pytest.mark.parametrize(("text", "line"), RECIPES.values(), ids=RECIPES)
def test_so_is_a_setting(text: str, line: str) -> None:
    value = text.removeprefix("seed: ")
    began = time.process_time()
    with pytest.raises(UserError) as caught:
        Recipe.load("spectrum", set=[f"seed={value}"])
    assert time.process_time() - began < 1
    assert all(len(one) < 500 for one in str(caught.value).splitlines())


@pytest.mark.parametrize(
    "setting",
    [
        "a." * 5_000 + "b=1",
        "preprocessing.steps.²=1",
        "preprocessing.steps." + "9" * 5_000 + "=1",
        "preprocessing.steps.-1=1",
        "seed=nan",
        "detector.x=" + "[" * 100,
    ],
    ids=lambda setting: setting[:24],
)
def test_a_setting_that_leads_nowhere_is_refused_in_one_line(setting: str) -> None:
    with pytest.raises(UserError) as caught:
        Recipe.load("aeflow", set=[setting])
    assert len(str(caught.value)) < 500


def test_a_pipe_a_device_and_a_folder_are_no_recipes(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "long.yaml").touch()
    os.truncate(tmp_path / "long.yaml", 1 << 40)
    for path in tmp_path.iterdir():
        with pytest.raises(UserError, match=r"plain file|at most") as caught:
            Recipe.load(path)
        assert str(path) in str(caught.value)


def test_an_alias_is_taken_and_a_byte_order_mark_too(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("\ufeff" + HEAD + "stages: {a: &a {epochs: 3, optimiser: {lr: 1e-3}}, b: *a}\n")
    recipe = Recipe.load(path)
    assert recipe.stages["a"] == recipe.stages["b"]
    assert recipe.stages["b"].optimiser.lr == 1e-3
