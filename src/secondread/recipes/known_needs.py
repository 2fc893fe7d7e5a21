"""From which cohorts a recipe's detector learns, as far as is known without building it. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondread.recipes.recipe import Recipe, preset_values


def known_needs(recipe: Recipe) -> frozenset[str] | None:
    """The cohorts that the detector cannot do without; None where only the built detector can tell.

    A preset says in `about.needs` what its detector says, and a test compares them. So they are known of
    every recipe whose `detector` section is that of a preset, whatever its encoders are.

    >>> import secondread
    >>> sorted(known_needs(secondread.Recipe.load("ddad-aeu")))
    ['normal', 'unlabelled']
    >>> known_needs(secondread.Recipe.load("ddad-aeu", set=["detector.score=rec"])) is None
    True
    """
    wanted = _without_encoders(recipe.detector)
    for values in preset_values(recipe.detector["name"]):
        if _without_encoders(values["detector"]) == wanted:
            return frozenset(values["about"].get("needs") or ("normal",))
    return None


def _without_encoders(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {key: _without_encoders(value) for key, value in values.items() if key != "encoder"}
    if isinstance(values, list | tuple):
        return [_without_encoders(value) for value in values]
    return values
