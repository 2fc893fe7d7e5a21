"""Code from outside that a recipe names: allowed where a person wrote it, told to the bundle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from secondread.anomalies import ANOMALIES
from secondread.detectors import DETECTORS
from secondread.errors import UserError
from secondread.networks.encoders import ENCODERS
from secondread.recipes.recipe import Recipe
from secondread.registry.outside import (
    OutsideCode,
    allow,
    described_network,
    import_place,
    is_allowed,
    is_place,
    refuse_forbidden,
)
from secondread.registry.registry import Registry

REGISTRIES: Mapping[str, Registry[Any]] = {
    "detector": DETECTORS,
    "backbone": DETECTORS,
    "encoder": ENCODERS,
    "anomalies": ANOMALIES,
}
"""By the section of a recipe whose `name` they explain."""
NETWORK: Final = "network"
"""The section of what the encoder `module` names, a callable of nobody's registry."""


def allow_code_of(recipe: Recipe) -> None:
    """Allow what a recipe names as `module:Class`: for recipes that a person wrote, never for a bundle's."""
    allow(places_of(recipe))


def places_of(recipe: Recipe) -> tuple[str, ...]:
    """What a recipe names as `module:Class`."""
    return tuple(name for _, name in _named(recipe) if is_place(name))


def outside_code(recipe: Recipe) -> tuple[OutsideCode, ...]:
    """What a bundle says of the code from outside that its recipe names, whose detector has been built."""
    found: dict[str, OutsideCode] = {}
    for section, name in _named(recipe):
        registry = REGISTRIES.get(section)
        code = None if registry is None else registry.described(name)
        if section == NETWORK and is_place(name):
            code = described_network(name)
        if code is not None:
            found[f"{section} {name}"] = code
    return tuple(dict.fromkeys(found.values()))


def refuse_absent_code(named: tuple[OutsideCode, ...]) -> None:
    """UserError where code that a bundle was fitted with is not there, or not allowed."""
    registries = {registry.kind: registry for registry in REGISTRIES.values()}
    for code in named:
        if code.kind == NETWORK:
            _refuse_absent_network(code)
        else:
            registries[code.kind].refuse_absent(code)


def _refuse_absent_network(code: OutsideCode) -> None:
    refuse_forbidden(code, allowed=is_allowed(code.place))
    try:
        import_place(code.place)
    except UserError as error:
        raise UserError(f"fitted with {code}, and {error}") from error


def _named(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Each `name` in the settings of detector and stages, after the section that it stands in."""
    yield from _names_in("detector", recipe.detector)
    for stage in recipe.stages.values():
        yield from _names_in("stage", stage.model_dump())


def _names_in(section: str, values: Any) -> Iterator[tuple[str, str]]:
    if isinstance(values, Mapping):
        if isinstance(values.get("name"), str):
            yield section, values["name"]
            if section == "encoder" and isinstance(values.get("module"), str):
                yield NETWORK, values["module"]
        for key, value in values.items():
            yield from _names_in(str(key), value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _names_in(section, value)
