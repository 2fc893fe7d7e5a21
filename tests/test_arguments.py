"""Arguments that make no sense are told at once, by their name and in one line."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

import secondread
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.settings.arguments import LEAST, LEAST_SECONDS, checked

WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("fit", (None, "m.csv"), {}, "recipe is None: give a preset's name, a YAML file, a mapping"),
    ("fit", (3, "m.csv"), {}, "recipe is 3: give"),
    ("fit", ("padim", None), {}, "data is None: give a manifest, its file, or images as arrays"),
    ("fit", ("padim", 3), {}, "data is 3: give a manifest"),
    ("fit", ("padim", "m.csv"), {"workers": -1}, "workers is -1: give a whole number from 0 on"),
    ("fit", ("padim", "m.csv"), {"workers": 1.5}, "workers is 1.5: give a whole number from 0 on"),
    ("fit", ("padim", "m.csv"), {"workers": True}, "workers is True: give a whole number from 0 on"),
    ("fit", ("padim", "m.csv"), {"processes": 0}, "processes is 0: give a whole number from 1 on"),
    ("fit", ("padim", "m.csv"), {"seed": -1}, r"seed -1: give a whole number from 0 to 2\^63 - 1"),
    ("fit", ("padim", "m.csv"), {"force": "no"}, "force is 'no': give True or False"),
    ("fit", ("padim", "m.csv", 3), {}, "out is 3: give a path"),
    ("fit", ("padim", "m.csv"), {"cache": 3}, "cache is 3: give a Cache or a path"),
    ("fit", ("padim", "m.csv"), {"loggers": 3}, "loggers is 3: give a list"),
    ("fit", ("padim", "m.csv"), {"labels": 3}, "labels is 3: give a list"),
    ("score", (None, "m.csv"), {}, "bundle is None: give a bundle, or its folder"),
    ("score", ("b", None), {}, "inputs is None: give a manifest, files or folders, or images as arrays"),
    ("score", ("b", 3), {}, "inputs is 3: give a manifest"),
    ("score", ("b", "m.csv"), {"every": 0}, "every is 0: give 1 for all, 2 for every other one"),
    ("score", ("b", "m.csv"), {"batch_size": 0}, "batch_size is 0: give a whole number from 1 on"),
    ("score", ("b", "m.csv"), {"timeout_s": 0}, "timeout_s is 0: give seconds from 0.1 on"),
    ("score", ("b", "m.csv"), {"timeout_s": float("nan")}, "timeout_s is nan: give seconds from 0.1 on"),
    ("score", ("b", "m.csv"), {"where": {"split": "test"}}, "where is <dict of 1>: give a list of texts"),
    ("score", ("b", "m.csv"), {"where": [3]}, "where holds 3: give a list of texts"),
    ("score", ("b", "m.csv"), {"where": "split=test"}, r"a list is meant: where=\['split=test'\]"),
    ("score", ("b", "m.csv"), {"spacing": 0.5}, "the spacing 0.5 is one number; give one"),
    ("score", ("b", "m.csv"), {"progress": 3}, "progress is 3: give a function or True or False"),
    (
        "compare",
        ("m.csv", ["padim"], "o"),
        {"seeds": 2},
        r"seeds is 2: .*, such as \[0, 1, 2\]",
    ),
    (
        "compare",
        ("m.csv", ["padim"], "o"),
        {"seeds": [True]},
        "seeds holds True: give a list of whole",
    ),
    ("compare", ("m.csv", ["padim"], "o"), {"jobs": -1}, "jobs is -1: give a whole number from 0 on"),
    ("compare", ("m.csv", ["padim"], "o"), {"how": 3}, "how is 3: give a How"),
    ("compare", ("m.csv", None, "o"), {}, "recipes is None: give a list of presets, or a mapping of recipes"),
    ("evaluate", (3,), {}, "readings_csv is 3: give Readings or a path"),
    ("evaluate", ("r",), {"bootstrap": 50.5}, "bootstrap is 50.5: give a whole number"),
    ("check", ("m.csv",), {"workers": None}, "workers is None: give a whole number from 0 on"),
    ("check", ("m.csv",), {"progress": True}, "progress is True: give a function"),
    ("index", ("films",), {"plane": "top"}, "plane is 'top': give 'axial' or 'coronal' or 'sagittal'"),
    ("index", ("films",), {"labels": "t.csv"}, "labels is 't.csv': give GivenLabels"),
    ("index", (None,), {}, "src is None: give a path"),
    ("make_phantoms", ("p",), {"seed": 0, "rank": 4}, "rank is 4: give 2 or 3"),
    ("make_phantoms", ("p",), {"seed": 0, "size": 64}, "size is 64: give a list of whole numbers"),
    ("make_phantoms", ("p",), {"seed": 0, "n_normal": -1}, "n_normal is -1: give a whole number from 0 on"),
    ("manifest_of_arrays", (np.zeros((2, 8, 8)),), {"rank": 4}, "rank is 4: give 2 or 3"),
    ("manifest_of_arrays", (np.zeros((2, 8, 8)),), {"split": 3}, "split is 3: give a list or a text"),
    ("sample", ("b", "o"), {}, "bundle is 'b': give a bundle"),
    ("write_report", ("e", "o"), {}, "evaluation is 'e': give an Evaluation"),
    ("figures", (None,), {}, "of is None: give Readings or an Evaluation or a Table"),
    ("export", (3, "o"), {}, "bundle is 3: give a bundle, or its folder"),
    ("tune", ("padim", "m.csv", ["a=1"], "o"), {"trials": 0}, "trials is 0: give a whole number from 1 on"),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "told"), WRONG)
def test_what_makes_no_sense_is_told_by_its_name(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=f"^(where is one text, and )?{told}") as caught:
        getattr(secondread, name)(*args, **kwargs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "load",
    [secondread.Manifest.read, secondread.Bundle.load, secondread.Exported.load, secondread.Recipe.load],
)
def test_what_is_read_has_a_path(load: Callable[[Any], object]) -> None:
    with pytest.raises(UserError, match="is None: give a path"):
        load(None)


def test_the_methods_of_a_manifest_say_what_they_want() -> None:
    manifest = Manifest((Row("a.png", "train", "normal", extra={"fold": "1"}),), Path())
    for wrong, said in (
        (lambda: manifest.where(3), "conditions is 3: give a text"),
        (lambda: manifest.where(["split=train"]), r"conditions is \['split=train'\]: give a text"),
        (lambda: manifest.with_fold("one"), "fold is 'one': give a whole number"),
        (lambda: manifest.write(None), "path is None: give a path"),
    ):
        with pytest.raises(UserError, match=said):
            wrong()
    assert len(manifest.where("split=train").with_fold(np.int64(1))) == 1


def test_numbers_of_numpy_are_numbers_and_lists_stay_what_they_are() -> None:
    seen: list[object] = []

    @checked
    def read(n: int, share: float, where: Sequence[str] = (), any: Any = None) -> None:  # noqa: F821
        seen[:] = [n, share, where, any]

    read(np.int64(3), np.float32(0.5), ("a",), None)
    assert [type(one) for one in seen[:2]] == [int, float]
    assert seen[2:] == [("a",), None]
    read(1, 2, (word for word in ("a", "b")))
    assert seen[2] == ["a", "b"]
    with pytest.raises(TypeError, match="missing a required argument"):
        read(1)  # type: ignore[call-arg]


def test_a_function_of_the_front_door_is_itself_in_other_processes() -> None:
    assert pickle.loads(pickle.dumps(secondread.score)) is secondread.score
    assert inspect.signature(secondread.score).parameters["batch_size"].default is None


@pytest.mark.parametrize(
    ("module", "command", "options"),
    [
        ("readings.score", "score", {"batch_size": "batch_size", "processes": "processes"}),
        ("models.fit", "fit", {"processes": "processes"}),
        ("models.tune", "tune", {"trials": "trials", "workers": "workers"}),
    ],
)
def test_bounds_are_those_of_the_command_line(module: str, command: str, options: dict[str, str]) -> None:
    found = __import__(f"secondread.cli.commands.{module}", fromlist=[command])
    hints = get_type_hints(getattr(found, command), include_extras=True)
    for option, argument in options.items():
        (said,) = (one.min for one in get_args(hints[option])[1:] if hasattr(one, "min"))
        assert said == LEAST[argument]
    if command == "score":
        (least,) = (one.min for one in get_args(hints["timeout"])[1:] if hasattr(one, "min"))
        assert least == LEAST_SECONDS
