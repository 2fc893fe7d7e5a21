"""`comparison.json`: a plan as it lies in its folder, and how a later one extends it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from secondread.errors import UserError
from secondread.outputs.private import make_folder
from secondread.outputs.whole import remove_folder
from secondread.recipes.changed_settings import changed_settings
from secondread.recipes.recipe import Recipe
from secondread.settings.base import Settings
from secondread.strict.json_text import read_object

FILE = "comparison.json"
EARLIER = "earlier"
"""Folder of finished runs whose method has other settings now."""
RESULT = "result.json"
"""What a finished run has."""


class _Written(Settings):
    source: str
    trivial: bool
    recipe: dict[str, Any]


class _Document(Settings):
    """`comparison.json`, as `Plan._document` makes it."""

    manifest: str
    manifest_digest: str
    where: tuple[str, ...]
    reference: str
    maps: bool
    seeds: tuple[Annotated[int, Field(ge=0, le=2**63 - 1)], ...]
    contamination: tuple[float, ...]
    methods: dict[str, _Written]


def read_document(folder: Path) -> dict[str, Any]:
    """What `comparison.json` says; UserError where it is missing or damaged."""
    file = folder / FILE
    if not file.is_file():
        raise UserError(f"{file}: no such file; give the folder of a comparison")
    document = read_object(file, UserError, "choose a new folder with -o")
    try:
        return _Document.model_validate(document).model_dump(mode="json")
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise UserError(
            f"{file}: is no plan of a comparison ({where}: {problem['msg']}); choose a new folder with -o"
        ) from None


def _fitted(recipe: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What of a written recipe bears on a fit, with the defaults of today."""
    return Recipe.from_mapping(recipe, source=source).model_dump(mode="json", exclude={"about"})


def changed_methods(earlier: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """The methods that were begun with other settings, and which of these differ."""
    found = {}
    for name, method in now["methods"].items():
        before = earlier["methods"].get(name)
        if before is None or not (folder / "runs" / name).exists():
            continue
        then, today = _fitted(before["recipe"], name), _fitted(method["recipe"], name)
        if then != today:
            found[name] = changed_settings(then, today)
    return found


def set_aside(name: str, folder: Path) -> Path | None:
    """Make room for runs of `name` with other settings: finished ones are kept in `earlier`, and the place
    comes back; unfinished and failed ones go."""
    runs = folder / "runs" / name
    if not any(runs.glob(f"*/{RESULT}")):
        remove_folder(runs)
        return None
    number = next(n for n in count(1) if not (folder / EARLIER / f"{name}-{n}").exists())
    place = folder / EARLIER / f"{name}-{number}"
    make_folder(place.parent)
    runs.rename(place)
    return place


def extended(earlier: dict[str, Any], now: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The earlier plan with what the new one adds. A method under an earlier name is that of the new one."""
    if earlier["manifest_digest"] != now["manifest_digest"]:
        raise UserError(
            f"{folder}: a comparison on another manifest, or on other rows of it; choose a new folder with -o"
        )
    if earlier["reference"] != now["reference"] and any(folder.glob("runs/*/*/result.json")):
        raise UserError(
            f"{folder}: begun with the reference {earlier['reference']}, which is named before there are "
            f"results; give --reference {earlier['reference']}, or another folder"
        )
    if earlier["maps"] != now["maps"]:
        raise UserError(f"{folder}: begun {'with' if earlier['maps'] else 'without'} maps; keep to that")
    return {
        **now,
        "seeds": sorted({*earlier["seeds"], *now["seeds"]}),
        "contamination": sorted({*earlier["contamination"], *now["contamination"]}),
        "methods": {**earlier["methods"], **now["methods"]},
    }
