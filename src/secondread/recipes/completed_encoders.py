"""What a recipe leaves to an encoder's files, written into it, so that a bundle can do without them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from secondread.errors import UserError
from secondread.networks.encoders import ENCODERS
from secondread.recipes.recipe import Recipe


def with_completed_encoders(recipe: Recipe) -> Recipe:
    """The recipe with what its encoders take from their files (`Encoder.completed`), wherever they stand in
    the detector's settings; the recipe itself where that is nothing.

    Settings that are not valid stay as they are: `build_detector` says what is wrong with them. UserError for
    files that are not there.
    """
    detector = _completed(recipe.detector)
    return recipe if detector == recipe.detector else recipe.model_copy(update={"detector": detector})


def _completed(values: Any) -> Any:
    if isinstance(values, list | tuple):
        return [_completed(value) for value in values]
    if not isinstance(values, Mapping):
        return values
    return {
        key: _encoder(value) if key == "encoder" and isinstance(value, Mapping) else _completed(value)
        for key, value in values.items()
    }


def _encoder(given: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        kind = ENCODERS.find(str(given.get("name", "")))
        settings = kind.Settings.model_validate(given)
    except (KeyError, UserError, ValidationError):
        return given
    completed = kind.completed(settings)
    if completed == settings:
        return given
    before = settings.model_dump(mode="json")
    after = completed.model_dump(mode="json", exclude_none=True)
    return {**given, **{key: value for key, value in after.items() if before.get(key) != value}}
