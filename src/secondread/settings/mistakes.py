"""Mistakes in settings, each as one line that says where, what was written, and what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from secondread.errors import UserError
from secondread.wording.near_names import near_names

LONGEST = 80
"""Characters of what was written that a line repeats."""


class Misfit(ValueError):
    """Settings whose class is chosen by their name do not fit it: the mistakes are those of that class."""

    def __init__(self, error: ValidationError, model: type[BaseModel]) -> None:
        super().__init__(str(error))
        self.error, self.model = error, model


def validated_by_kind(given: Any, settings_of: Callable[[str], type[BaseModel]], default: str = "") -> Any:
    """A mapping of settings as the class that its `name` means; anything else as it is.

    For a validator of pydantic. Raises Misfit or ValueError.
    """
    if not isinstance(given, Mapping):
        return given
    name = given.get("name", default)
    if not isinstance(name, str) or not name:
        raise ValueError("it needs a name")
    try:
        model = settings_of(name)
    except UserError as error:
        raise ValueError(str(error)) from None
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise Misfit(error, model) from None


def mistakes(error: ValidationError, model: type[BaseModel], source: str, below: str = "") -> list[str]:
    """One line per mistake. `source`: the file; `below`: the dotted name under which the model lies."""
    lines: list[str] = []
    for details in _one_per_choice(error):
        inner = details.get("ctx", {}).get("error")
        if isinstance(inner, Misfit):
            lines += mistakes(inner.error, inner.model, source, _key(details, model, below))
        else:
            lines.append(_line(details, model, source, below))
    return lines


def _one_per_choice(error: ValidationError) -> list[ErrorDetails]:
    """Where a setting takes one of several forms, pydantic tells why each was refused; the form that
    was meant is the one that got furthest, or whose values fit it one by one, else the first."""
    kept: list[ErrorDetails] = []
    choices: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        choice = _choice(details["loc"])
        if choice is None:
            kept.append(details)
        elif choice not in choices:
            choices[choice] = [details]
            kept.append(details)
        else:
            choices[choice].append(details)
    places = [details["loc"] for details in kept]
    for details in [details for details in kept if details["type"] == "too_short"]:
        loc = details["loc"]
        if any(len(place) > len(loc) and place[: len(loc)] == loc for place in places):
            kept.remove(details)  # its items are wrong, and not that there are few
    for choice, refused in choices.items():
        furthest = [
            details
            for details in refused
            if len(details["loc"]) > len(choice) + 1 or details["type"] == "value_error"
        ]
        if furthest:
            at = kept.index(refused[0])
            kept[at : at + 1] = furthest
    return kept


def _choice(location: Sequence[int | str]) -> tuple[int | str, ...] | None:
    """The place at which one of several forms is named, if the location passes one."""
    for at, part in enumerate(location):
        if isinstance(part, str) and "[" in part:
            return tuple(location[:at])
    return None


def _line(details: ErrorDetails, model: type[BaseModel], source: str, below: str) -> str:
    path, key = _written_path(details["loc"], model), _key(details, model, below)
    where = f"{source}: {key}" if key else source
    match details["type"]:
        case "extra_forbidden":
            allowed = _allowed_names(path[:-1], model)
            near = near_names(path[-1], allowed, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            return f"{where} is not a setting; {hint}allowed here: {', '.join(allowed)}"
        case "missing":
            return f"{where} is missing"
        case "model_type" | "dict_type" | "model_attributes_type" | "dataclass_type":
            return f"{where} is {_shown(details['input'])}: it should be a mapping of settings"
        case _ if isinstance(details["input"], dict) and len(repr(details["input"])) > LONGEST:
            return f"{where}: {_plain(details['msg'])}"
        case _:
            return f"{where} is {_shown(details['input'])}: {_plain(details['msg'])}"


def _key(details: ErrorDetails, model: type[BaseModel], below: str) -> str:
    """The dotted name of the setting."""
    return ".".join([*([below] if below else []), *map(str, _written_path(details["loc"], model))])


def _plain(message: str) -> str:
    message = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    message = message[:1].lower() + message[1:]
    message = message.replace("a valid tuple", "a list").replace("tuple should have", "the list should have")
    return message.replace(" after validation", "")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _written_path(location: Sequence[int | str], model: type[BaseModel]) -> list[int | str]:
    """The location without the names of union members, which pydantic puts in and nobody wrote."""
    path: list[int | str] = []
    here: list[Any] = [model]
    for part in location:
        models = list(_models(here))
        repeated = bool(path) and part == path[-1] and not any(part in m.model_fields for m in models)
        if isinstance(part, str) and ("[" in part or part.startswith("constrained-") or repeated):
            continue
        if isinstance(part, int):
            path.append(part)
            here = [argument for kind in here for argument in get_args(_bare(kind))] or [Any]
            continue
        fields = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        mappings = [kind for kind in _alternatives(here) if get_origin(kind) is dict]
        if fields:
            path.append(part)
            here = fields
        elif mappings:
            path.append(part)
            here = [get_args(kind)[1] for kind in mappings]
        elif part == location[-1] or not _is_member_name(part, here):
            path.append(part)
    return path


def _is_member_name(part: str, here: Sequence[Any]) -> bool:
    names = [getattr(kind, "__name__", str(kind)) for kind in _alternatives(here)]
    tags = [name for m in _models(here) for name in m.model_fields]
    return part in names or part in tags or part in {"str", "int", "float", "bool"}


def _bare(kind: Any) -> Any:
    """Without `Annotated`."""
    while hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    return kind


def _alternatives(kinds: Sequence[Any]) -> Iterator[Any]:
    for kind in kinds:
        bare = _bare(kind)
        if get_origin(bare) in (Union, UnionType):
            yield from _alternatives(get_args(bare))
        else:
            yield bare


def _models(kinds: Sequence[Any]) -> Iterator[type[BaseModel]]:
    for kind in _alternatives(kinds):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield kind


def _allowed_names(path: Sequence[int | str], model: type[BaseModel]) -> list[str]:
    """The settings that the model at the path has."""
    here: list[Any] = [model]
    for part in path:
        following: list[Any] = []
        for kind in _alternatives(here):
            if isinstance(kind, type) and issubclass(kind, BaseModel) and part in kind.model_fields:
                following.append(kind.model_fields[str(part)].annotation)
            elif get_origin(kind) is dict:
                following.append(get_args(kind)[1])
            elif get_origin(kind) in (tuple, list):
                following.extend(argument for argument in get_args(kind) if argument is not Ellipsis)
        here = following
    return sorted({name for m in _models(here) for name in m.model_fields})
