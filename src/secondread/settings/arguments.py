"""Arguments of the front door's functions: what makes no sense is told at once, in one line, by its name.

What the command line refuses of an option, Python refuses of the argument of that name, with the same bound.
"""

from __future__ import annotations

import ast
import functools
import inspect
import math
import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, get_args, get_origin, runtime_checkable

from secondread.errors import UserError
from secondread.wording.one_text import refuse_one_text
from secondread.wording.short import brief

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

LEAST: Mapping[str, int] = MappingProxyType(
    {
        "workers": 0,
        "n_normal": 0,
        "n_abnormal": 0,
        "n_test_normal": 0,
        "n_train_abnormal": 0,
        "processes": 1,
        "every": 1,
        "batch_size": 1,
        "jobs": 0,
        "trials": 1,
        "n": 1,
        "readers": 1,
    }
)
"""The smallest whole number that an argument of this name can be."""
ALLOWED: Mapping[str, tuple[int, ...]] = MappingProxyType({"rank": (2, 3)})
"""The only whole numbers that an argument of this name can be."""
LEAST_SECONDS = 0.1
"""Of `timeout_s`."""


def checked(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """The function, whose arguments are looked at before it begins.

    An argument that is said to be a whole number, a number, true or false, a text, a path, or a list of
    texts or numbers must be one, and None only where that is said, too; whole numbers and `timeout_s` must be
    as large as `LEAST` and `LEAST_SECONDS` say. NumPy's numbers count as Python's, and become those. Raises
    UserError.

    >>> @checked
    ... def read(path: str, workers: int = 2): ...
    >>> read("a.png", workers=-1)
    Traceback (most recent call last):
    ...
    secondread.errors.UserError: workers is -1: give a whole number from 0 on
    """
    signature = inspect.signature(function)
    names = function.__globals__
    rules = {name: _rule(one, names) for name, one in signature.parameters.items()}

    @functools.wraps(function)
    def looked_at(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        bound = signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            bound.arguments[name] = rules[name](name, value)
        return function(*bound.args, **bound.kwargs)

    return looked_at


Rule = Callable[[str, Any], Any]


@runtime_checkable
class FunctionLike(Protocol):
    """Whatever can be called."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


def _rule(argument: inspect.Parameter, known: Mapping[str, Any]) -> Rule:
    """What is asked of an argument, in whose annotation names are those of a module."""
    said = re.sub(r"<class '(\w+)'>", r"\1", str(argument.annotation)).replace(" ", "")
    may_be_none = "|None" in said or argument.default is None
    plain = said.replace("|None", "")
    if get_origin(known.get(plain)) is Literal:
        plain = f"Literal{list(get_args(known[plain]))}"
    look = _one_of(plain) if plain.startswith("Literal[") else _LOOKS.get(plain)
    if look is None:
        members = _members(plain)
        look = _one_kind(members) if members <= _KINDS.keys() else _something

    def rule(name: str, value: Any) -> Any:
        return value if value is None and may_be_none else look(name, value)

    if argument.kind is argument.VAR_POSITIONAL:
        return lambda name, values: tuple(look(name, value) for value in values)
    return rule


def _members(union: str) -> frozenset[str]:
    """The names of a union's members, without what stands in brackets behind them."""
    plain = union
    while plain != (plain := re.sub(r"\[[^\[\]]*\]", "", plain)):
        pass
    return frozenset(plain.split("|"))


def _one_kind(members: frozenset[str]) -> Rule:
    """For a union of known kinds, such as a bundle, a text or a path."""
    classes = tuple(kind for member in members for kind in _PYTHON.get(member, ()))
    named = members - {"str"} if "Path" in members else members
    usual = " or ".join(dict.fromkeys(_KINDS[member] for member in _KINDS if member in named))

    def look(name: str, value: Any) -> Any:
        if "Iterable" in members and "str" not in members:
            refuse_one_text(value, name)
        own = {each.__name__ for each in type(value).__mro__}
        if not isinstance(value, classes) and not own & members:
            raise _wrong(name, value, _WANTED.get(name, usual))
        return value

    return look


def _one_of(literal: str) -> Rule:
    """For `Literal[2,3]`, which of the values it must be."""
    allowed = ast.literal_eval(f"({literal.removeprefix('Literal[').removesuffix(']')},)")

    def look(name: str, value: Any) -> Any:
        if value not in allowed or isinstance(value, bool):
            raise _wrong(name, value, " or ".join(map(repr, allowed)))
        return value

    return look


def _something(name: str, value: Any) -> Any:
    """For what the function itself looks at: neither nothing nor a mere number."""
    if value is None or isinstance(value, bool | int | float | complex):
        raise _wrong(name, value, _WANTED.get(name, "something else"))
    return value


def _whole(name: str, value: Any) -> int:
    least = LEAST.get(name)
    found = _as_whole(value)
    if name == "seed" and (found is None or not 0 <= found < 2**63):
        raise UserError(f"seed {_shown(value)}: give a whole number from 0 to 2^63 - 1")
    if name in ALLOWED and found not in ALLOWED[name]:
        raise _wrong(name, value, " or ".join(map(str, ALLOWED[name])))
    if found is None or (least is not None and found < least):
        usual = "a whole number" + ("" if least is None else f" from {least} on")
        raise _wrong(name, value, _WANTED.get(name, usual))
    return found


def _as_whole(value: Any) -> int | None:
    """The whole number that a value is, or None; truth is none, though Python counts with it."""
    try:
        return None if type(value).__name__ in ("bool", "bool_") else operator.index(value)
    except TypeError:
        return None


def _number(name: str, value: Any) -> float:
    found = _as_number(value)
    least = LEAST_SECONDS if name == "timeout_s" else None
    if found is None or (least is not None and not least <= found < math.inf):
        raise _wrong(name, value, "a number" if least is None else f"seconds from {least} on")
    return found


def _as_number(value: Any) -> float | None:
    """The number that a value is, or None. NaN is one, and the function says what it makes of it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    is_numpy = type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()
    return float(value) if is_numpy and value.dtype.kind in "iuf" else None


def _truth(name: str, value: Any) -> bool:
    if type(value).__name__ not in ("bool", "bool_"):
        raise _wrong(name, value, "True or False")
    return bool(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(name, value, "a text")
    return value


def _path(name: str, value: Any) -> Any:
    if not isinstance(value, str | os.PathLike):
        raise _wrong(name, value, "a path")
    return value


def _list_of(what: str, one: Callable[[Any], Any]) -> Rule:
    def look(name: str, value: Any) -> Any:
        refuse_one_text(value, name)
        if name == "spacing" and _as_number(value) is not None:
            raise UserError(f"the spacing {_shown(value)} is one number; give one for each axis")
        if not isinstance(value, Iterable) or isinstance(value, Mapping | bytes):
            few = ", such as [0, 1, 2]" if one is _as_whole else ""
            raise _wrong(name, value, f"a list of {what}{few}")
        found = value if isinstance(value, list | tuple | range) else list(value)
        for each in found:
            if one(each) is None:
                raise UserError(f"{name} holds {_shown(each)}: give a list of {what}")
        return found

    return look


def _as_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _wrong(name: str, value: Any, wanted: str) -> UserError:
    return UserError(f"{name} is {_shown(value)}: give {wanted}")


def _shown(value: Any) -> str:
    """A value as a message shows it; NumPy's numbers as Python's."""
    is_numpy = type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()
    return brief(value.item() if is_numpy else value)


_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "Recipe": "a Recipe",
        "Readings": "Readings",
        "Evaluation": "an Evaluation",
        "Table": "a Table",
        "Manifest": "a Manifest",
        "Cache": "a Cache",
        "FittedModel": "a bundle",
        "Bundle": "a bundle",
        "How": "a How",
        "GivenLabels": "GivenLabels",
        "Mapping": "a mapping",
        "Callable": "a function",
        "bool": "True or False",
        "Iterable": "a list",
        "Sequence": "a list",
        "str": "a text",
        "Path": "a path",
    }
)
"""Kinds by the names that annotations have for them, and as messages call them."""
_PYTHON: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "str": (str, os.PathLike),
        "Path": (str, os.PathLike),
        "Mapping": (Mapping,),
        "bool": (bool,),
        "Callable": (FunctionLike,),
        "Iterable": (Iterable,),
        "Sequence": (Iterable,),
    }
)
_WANTED: Mapping[str, str] = MappingProxyType(
    {
        "every": "1 for all, 2 for every other one, and so on",
        "recipe": "a preset's name, a YAML file, a mapping with its sections or a Recipe",
        "bundle": "a bundle, or its folder",
        "manifest": "a manifest, its file or a DataFrame with its columns",
        "data": "a manifest, its file, or images as arrays",
        "inputs": "a manifest, files or folders, or images as arrays",
        "images": "arrays",
        "recipes": "a list of presets, or a mapping of recipes by name",
    }
)
_TEXTS, _NUMBERS = _list_of("texts", _as_text), _list_of("numbers", _as_number)
_LOOKS: Mapping[str, Rule] = MappingProxyType(
    {
        "int": _whole,
        "float": _number,
        "bool": _truth,
        "str": _text,
        "str|Path": _path,
        "Sequence[str]": _TEXTS,
        "Sequence[float]": _NUMBERS,
        **dict.fromkeys(("Sequence[int]", "tuple[int,...]"), _list_of("whole numbers", _as_whole)),
    }
)
