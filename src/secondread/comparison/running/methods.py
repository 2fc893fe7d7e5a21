"""The rows of a comparison: recipes under names, with settings of their own, and the trivial baselines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from secondread.detectors.trivial import BASELINES
from secondread.errors import UserError
from secondread.recipes.recipe import Recipe
from secondread.recipes.unknown_names import no_such_preset
from secondread.wording.lists import few
from secondread.wording.one_text import refuse_one_text
from secondread.wording.short import Short, brief

Given: TypeAlias = Recipe | Mapping[str, Any] | str
"""A recipe, a mapping with its sections, a preset's name or a YAML file."""
Recipes: TypeAlias = Sequence[str] | Mapping[str, Given]
"""Presets, YAML files or NAME=RECIPE; or recipes under names."""
LONGEST = 100
"""Bytes in a method's name, which is a folder's name too."""


@dataclass(frozen=True, repr=False)
class Method(Short):
    """One row of the table: a recipe under a name.

    trivial  a baseline that was added by itself
    """

    name: str
    recipe: Recipe
    source: str
    trivial: bool = False


def methods_of(recipes: Recipes, settings: Sequence[str], known: Sequence[Method]) -> list[Method]:
    """The methods that are named, and the trivial baselines that `known` ones do not hold already.

    recipes, settings  as `Plan.of` takes them
    known              of an earlier plan

    Raises UserError for what cannot stand in one table.
    """
    refuse_one_text(recipes, "recipes")
    refuse_one_text(settings, "settings")
    given: Sequence[tuple[str, Given]]
    if isinstance(recipes, Mapping):
        given = given_by_name(recipes)
    else:
        given = [_named(_text_of(item)) for item in recipes]
    names = [name for name, _ in given]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{few(twice)}: named twice; call one row otherwise, as in NAME=RECIPE")
    own: dict[str, list[str]] = {name: [] for name in (*names, *BASELINES)}
    for setting in settings:
        _assign(setting, own)
    methods = _loaded(given, own)
    if not methods and not known:
        raise UserError("name at least one recipe with --recipes; `secondread recipes` lists them")
    if settings and not methods:
        raise UserError(f"--set {settings[0]}: holds for recipes that are named beside it with --recipes")
    every = {method.name: method for method in (*known, *methods)}
    first = next(iter(every.values())).recipe
    there = {method.name for method in known if not _prepared_otherwise(known[0].recipe, first)}
    asked = {setting.partition("=")[0].partition(":")[0] for setting in settings}
    for name in BASELINES:
        if name in names or (name in there and name not in asked):
            continue
        if recipe := _trivial(name, first, own[name]):
            methods.append(Method(name, recipe, name, trivial=True))
    return methods


def _text_of(item: object) -> str:
    if isinstance(item, str | Path):
        return str(item)
    raise UserError(
        f"recipes holds {brief(item)}: a list is of presets and files by name; give recipes in a mapping, "
        "each under the name of its row"
    )


def _prepared_otherwise(before: Recipe, now: Recipe) -> bool:
    """Whether the first method's images or cohorts have changed, which are the trivial baselines' too."""
    return (before.preprocessing, before.cohorts) != (now.preprocessing, now.cohorts)


def given_by_name(recipes: Mapping[str, Given]) -> list[tuple[str, Given]]:
    """Recipes under names. UserError for a name that no row can have."""
    return [(_named(f"{name}=recipe")[0], recipe) for name, recipe in recipes.items()]


def _with_settings(recipe: Given, settings: Sequence[str]) -> Recipe:
    if isinstance(recipe, str | Path):
        return Recipe.load(recipe, set=settings)
    return Recipe.from_mapping(Recipe.of(recipe).model_dump(mode="json"), set=settings)


def _loaded(given: Sequence[tuple[str, Given]], own: Mapping[str, Sequence[str]]) -> list[Method]:
    """The methods with their recipes; UserError with a line for everything that is wrong with any of them."""
    methods, problems = [], []
    for name, recipe in given:
        try:
            source = recipe if isinstance(recipe, str) else name
            method = Method(name, _with_settings(recipe, own[name]), source)
            _refuse_missing_auxiliary(method)
            _refuse_unlabelled_normals(method)
            methods.append(method)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))
    return methods


def refuse_two_ranks(methods: Sequence[Method]) -> None:
    """UserError for recipes of images and of volumes, which cannot stand in one table."""
    ranks: dict[int, list[str]] = {}
    for method in methods:
        ranks.setdefault(len(method.recipe.preprocessing.size), []).append(method.name)
    if len(ranks) > 1:
        raise UserError(
            f"recipes for images ({few(ranks.get(2, []), 10)}) and for volumes ({few(ranks.get(3, []), 10)}) "
            "cannot stand in one table; compare those of your images alone, or give the others the size of "
            "these, as in --set NAME:preprocessing.size=[32,128,128]"
        )


def _named(item: str) -> tuple[str, str]:
    if "," in item and "=" not in item and not Path(item).exists():
        raise UserError(f"--recipes {no_such_preset(item, ())}")
    name, equals, source = item.partition("=")
    name, source = (
        (name, source) if equals else (Path(item).stem if "/" in item or "." in item else item, item)
    )
    plain = all(c.isalnum() or c in "-_.+" for c in name) and not name.startswith(".")
    if not name or not source or not plain or len(os.fsencode(name)) > LONGEST:
        raise UserError(
            f"--recipes {item}: give a recipe, or NAME=RECIPE with a name of letters, digits, - _ . +, "
            f"at most {LONGEST} bytes long"
        )
    return name, source


def _assign(setting: str, own: Mapping[str, list[str]]) -> None:
    """Hand a setting to the method before its colon, or to all."""
    name, colon, key = setting.partition("=")[0].partition(":")
    if (key if colon else name).strip() == "seed":
        raise UserError(f"--set {setting}: all methods of a comparison have the same seeds; give --seeds")
    if not colon:
        for every in own.values():
            every.append(setting)
    elif name in own:
        own[name].append(setting[len(name) + 1 :])
    else:
        raise UserError(f"--set {setting}: no method is called {name}; there are {', '.join(own)}")


def _trivial(name: str, like: Recipe, settings: Sequence[str]) -> Recipe | None:
    """The baseline on images prepared as for the first method; None where it does not take their rank.

    Its cohorts are those of the first method too, so that it learns from the same normals, but for auxiliary
    images, from which no baseline learns, and unlabelled ones, which are normal to it only where a setting
    for all says so.
    """
    values = Recipe.load(name).model_dump(mode="json")
    size = like.preprocessing.size
    if len(size) not in values["about"]["ranks"]:
        return None
    values |= {
        "preprocessing": like.preprocessing.model_dump(mode="json"),
        "cohorts": like.cohorts.model_dump(mode="json") | {"unlabelled_as": "unlabelled"},
    }
    recipe = Recipe.from_mapping(values, source=f"preset {name}", set=settings)
    without = recipe.cohorts.model_copy(update={"auxiliary": None})
    return recipe.model_copy(update={"cohorts": without})


def _refuse_unlabelled_normals(method: Method) -> None:
    """A method that learns from unlabelled images cannot take them for normal."""
    if method.recipe.cohorts.unlabelled_as == "normal" and "unlabelled" in method.recipe.about.needs:
        raise UserError(
            f"{method.name} learns from unlabelled images itself; set cohorts.unlabelled_as for other rows "
            "alone, as in --set NAME:cohorts.unlabelled_as=normal"
        )


def _refuse_missing_auxiliary(method: Method) -> None:
    """A method that needs auxiliary images must name some that are there."""
    place = method.recipe.cohorts.auxiliary
    if place is None and "auxiliary" in method.recipe.about.needs:
        raise UserError(
            f"{method.name} needs auxiliary images; name them with --set {method.name}:cohorts.auxiliary=PATH"
        )
    if place is not None and not Path(place).expanduser().exists():
        raise UserError(f"{method.name}: cohorts.auxiliary: {place}: no such file or folder")
