"""One page for each detector, from its docstring, its settings and its presets."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import docstrings
import presets_table
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typing_extensions import TypeAliasType

from secondread.detectors import DETECTORS
from secondread.recipes.recipe import Preset, Recipe, presets

DOCS = Path(__file__).resolve().parents[1] / "docs"
NAMES = {
    bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path", NoneType: "none",
    Any: "anything",
}  # fmt: skip
STATES = {
    "paper": "the paper's values, with every difference listed",
    "stable": "for CPUs and small sets",
    "baseline": "a trivial baseline",
    "experimental": "may change",
}


@cache
def presets_of() -> dict[str, list[Preset]]:
    """The presets of each detector, the one that is called like it first, papers' values last."""
    found: dict[str, list[Preset]] = {name: [] for name in DETECTORS}
    for preset in presets():
        found[str(Recipe.load(preset.name).detector["name"])].append(preset)
    for name, members in found.items():
        members.sort(key=lambda preset: (preset.name != name, preset.about.state == "paper", preset.name))
    return found


@cache
def page_of_preset() -> dict[str, str]:
    """The file of the page on which each preset stands."""
    return {preset.name: address(name) for name, members in presets_of().items() for preset in members}


def address(detector: str) -> str:
    return f"detectors/{detector}.md"


def by_family() -> dict[str, list[str]]:
    """The detectors of each family of presets, by its title."""
    placed: dict[str, list[str]] = {}
    for title, members in presets_table.by_family().items():
        for preset in members:
            name = page_of_preset()[preset.name].removeprefix("detectors/").removesuffix(".md")
            if not any(name in names for names in placed.values()):
                placed.setdefault(title, []).append(name)
    return {title: sorted(names) for title, names in placed.items()}


def page(name: str, pages: Mapping[str, str]) -> str:
    """The page of a detector. `pages` are the written pages, by their place within docs/."""
    members = presets_of()[name]
    detector = DETECTORS.find(name)
    parts = [f"# {name}"]
    if members:
        parts += [f"**{members[0].about.title}.**", _in_short(members)]
    parts += ["## How it works", docstrings.as_markdown(inspect.getdoc(detector) or "")]
    if members:
        parts += ["## How to run it", _commands(members[0]), "## Presets", *map(_preset, members)]
    parts += ["## Settings", "What a recipe may say under `detector`:", _settings(detector.Settings)]
    for heading, folder in (("Guides", ""), ("Results", "results")):
        links = _links({preset.name for preset in members} | {name}, pages, folder == "results")
        if links:
            parts += [f"## {heading} that name it", links]
    return "\n\n".join(parts) + "\n"


def _in_short(members: list[Preset]) -> str:
    papers = list(dict.fromkeys(p for one in members for p in one.about.paper.split("; ") if p))
    needs = list(dict.fromkeys(presets_table.needs(preset) for preset in members))
    ranks = sorted({rank for preset in members for rank in preset.ranks})
    rows = [
        ("Papers", "; ".join(papers) or "none"),
        ("Needs", " · or ".join(needs)),
        ("Presets for", " and ".join({2: "images (2-D)", 3: "volumes (3-D)"}[rank] for rank in ranks)),
        ("Presets", ", ".join(f"[`{one.name}`](#preset-{one.name})" for one in members)),
    ]
    return "| What | In this method |\n|---|---|\n" + "\n".join(f"| {key} | {value} |" for key, value in rows)


def _commands(preset: Preset) -> str:
    return (
        f"```sh\nsecondread fit {preset.name} manifest.csv -o bundle\n"
        "secondread score bundle manifest.csv --where split=test --maps -o readings\n"
        "secondread evaluate readings/readings.csv manifest.csv -o report\n```"
    )


def _preset(preset: Preset) -> str:
    about = preset.about
    lines = [f"### Preset `{preset.name}`", f"{about.title}. State: {about.state} ({STATES[about.state]})."]
    lines.append(f"Needs {presets_table.needs(preset)}.")
    if about.paper:
        lines.append(f"Paper: {about.paper}.")
    if about.differences:
        lines += ["Differences from the paper:", "\n".join(f"- {one}" for one in about.differences)]
    return "\n\n".join(lines)


def _settings(settings: type[BaseModel]) -> str:
    rows = ["| setting | values | without it | what it is |", "|---|---|---|---|"]
    for name, field in settings.model_fields.items():
        if name != "name":
            cells = (f"`{name}`", _type(field.annotation), _default(field.default), field.description or "")
            rows.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(rows) if len(rows) > 2 else "Nothing but its name."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _type(kind: Any) -> str:
    """What may stand there, in few words."""
    if isinstance(kind, TypeAliasType):
        return _type(kind.__value__)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_type, inner)))
    if origin in (tuple, list):
        several = [one for one in inner if one is not Ellipsis]
        if Ellipsis in inner or origin is list:
            return f"list of {_type(several[0])}"
        return f"[{', '.join(map(_type, several))}]"
    if origin in (dict, Mapping):
        return f"{_type(inner[1])} by {_type(inner[0])}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "a section"
    return NAMES.get(kind, getattr(kind, "__name__", str(kind)))


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "it must be given"
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_defaults=True) or "its own defaults"
    return "none" if value is None else f"`{value}`" if value != "its own defaults" else value


def _links(names: set[str], pages: Mapping[str, str], results: bool) -> str:
    """Sections of the written pages in which a preset's or the detector's name stands as code."""
    code = re.compile("|".join(rf"`{re.escape(name)}`" for name in sorted(names)))
    lines = []
    for place, text in pages.items():
        if place == "presets.md" or place.startswith("results") != results:
            continue
        title, *sections = re.split(r"^(?=#{2,3} )", text, flags=re.MULTILINE)
        found = []
        for section in sections:
            heading, _, body = section.partition("\n")
            if code.search(body) or code.search(heading):
                heading = heading.lstrip("# ").strip()
                found.append(f"[{re.sub(r'[`*]', '', heading)}](../{place}#{anchor(heading)})")
        if found or code.search(title):
            name = title.splitlines()[0].lstrip("# ")
            lines.append(f"- [{name}](../{place})" + (f": {', '.join(found)}" if found else ""))
    return "\n".join(lines)


def anchor(heading: str, separator: str = "-") -> str:
    """A heading's anchor, as forges make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", separator)
