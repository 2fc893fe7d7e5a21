"""Classes that are known by a name: built-in ones by their file, others by entry points or `module:Class`.

A built-in class is the one class of its kind that its module defines, and its name is the module's. So a new
one is a new file; there is no table to keep. Names are listed without importing any of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib import import_module
from importlib.metadata import EntryPoints, entry_points
from pkgutil import iter_modules
from typing import Generic, TypeVar, cast

from secondread.errors import UserError
from secondread.registry.outside import (
    OutsideCode,
    distribution_of,
    forbidden,
    import_place,
    is_allowed,
    is_place,
    refuse_forbidden,
)
from secondread.wording.near_names import near_names

T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """All classes of one kind.

    kind      one of them, in messages, and in what a bundle says of code from outside
    kinds     several of them, in messages
    group     of entry points by which installed packages offer theirs: `secondread.detectors`
    base      `module:Class` that each of them is a subclass of
    packages  the packages whose modules are the built-in ones
    spelt     from a module's name to that of what it defines
    instead   what to do in place of names that a person may try, by name
    """

    kind: str
    kinds: str
    group: str
    base: str
    packages: Callable[[], tuple[str, ...]]
    spelt: Callable[[str], str] = str
    instead: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def built_in(self) -> dict[str, str]:
        """Module by name, sorted."""
        found = {
            self.spelt(module.name): f"{package}.{module.name}"
            for package in self.packages()
            for module in iter_modules(import_module(package).__path__)
        }
        return dict(sorted(found.items()))

    @property
    def offered(self) -> dict[str, tuple[str, ...]]:
        """What the entry points of installed packages say, `module:Class` by name, sorted. A built-in name
        cannot be taken, and a name that two packages take means two."""
        found: dict[str, set[str]] = {}
        for point in _installed(self.group):
            if point.name not in self.built_in:
                found.setdefault(point.name, set()).add(point.value)
        return {name: tuple(sorted(found[name])) for name in sorted(found)}

    def __iter__(self) -> Iterator[str]:
        return iter(self.built_in)

    def find(self, name: str) -> type[T]:
        """The class of this name, imported. A name may be `module:Class`, where a person or an entry point
        allows it.

        Raises KeyError, which lists the names, for one that is not known; UserError for code that is not
        allowed, not installed, or not of this kind.
        """
        if name in self.built_in:
            return self._defined_in(self.built_in[name])
        place = self.place_of(name)
        if place is None:
            raise KeyError(self.unknown(name))
        if not self.may_import(name):
            raise forbidden(self.kind, place)
        found = import_place(place)
        base = import_place(self.base)
        if not (isinstance(found, type) and issubclass(found, base)) or found is base:
            raise UserError(f"{place} is no {self.kind}: it should be a subclass of {self.base}")
        return cast(type[T], found)

    def _defined_in(self, module: str) -> type[T]:
        """The one public class of this kind that a built-in module defines."""
        base = import_place(self.base)
        own = [
            value
            for name, value in vars(import_module(module)).items()
            if isinstance(value, type) and issubclass(value, base)
            if value.__module__ == module and not name.startswith("_")
        ]
        if len(own) != 1:
            raise TypeError(f"{module} defines {len(own)} public subclasses of {self.base}; it should be one")
        return cast(type[T], own[0])

    def chosen(self, name: str, where: str) -> type[T]:
        """`find`, with a UserError that begins with `where` the name was written."""
        try:
            return self.find(name)
        except KeyError as error:
            raise UserError(f"{where} is {error.args[0]}") from None
        except UserError as error:
            raise UserError(f"{where}: {error}") from None

    def unknown(self, name: str) -> str:
        """A name that is not known, what may have been meant, and what there is."""
        if name in self.instead:
            return f"{name!r}: {self.instead[name]}"
        known = [*self.built_in, *self.offered]
        near = near_names(name[:80], known, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"{name[:80]!r}; {hint}{self.kinds} are {', '.join(known)}, and module:Class of your own"

    def place_of(self, name: str) -> str | None:
        """`module:Class` of a name from outside, which it may be itself; None for any other name.

        Raises UserError where two installed packages offer the name.
        """
        if is_place(name):
            return name
        if name in self.built_in:
            return None
        offered = self.offered.get(name, ())
        if len(offered) > 1:
            raise UserError(
                f"several installed packages offer the {self.kind} {name!r}; name the one that you mean: "
                f"{', '.join(offered)}"
            )
        return offered[0] if offered else None

    def may_import(self, name: str) -> bool:
        """Whether a name from outside is that of an installed entry point, or a person allowed it."""
        if not is_place(name):
            return name in self.offered
        return is_allowed(name) or any(name in places for places in self.offered.values())

    def described(self, name: str) -> OutsideCode | None:
        """What a bundle says of code from outside; None for a built-in or unknown name."""
        place = self.place_of(name)
        if place is None:
            return None
        distribution, version = distribution_of(place)
        said = {"kind": self.kind, "name": name, "place": place}
        return OutsideCode.model_validate({**said, "distribution": distribution, "version": version})

    def refuse_absent(self, code: OutsideCode) -> None:
        """UserError, in one line with a remedy, where code that a bundle was fitted with is not installed
        here, is another here, or is not allowed. Nothing is imported that is not allowed."""
        place = self.place_of(code.name)
        if place is None:
            raise UserError(f"fitted with {code}, which is not installed here; install it")
        if place != code.place:
            raise UserError(f"fitted with {code}, and here {code.name} is {place}; install the former")
        refuse_forbidden(code, allowed=self.may_import(code.name))
        try:
            self.find(code.name)
        except UserError as error:
            raise UserError(f"fitted with {code}, and {error}") from error


def _installed(group: str) -> EntryPoints:
    """The entry points of a group, as long as `sys.path` and its folders stay as they are: to read the
    metadata of all packages takes longer than to read a bundle."""
    return _found(group, tuple((folder, _changed(folder)) for folder in sys.path))


@lru_cache(maxsize=16)
def _found(group: str, path: tuple[tuple[str, int], ...]) -> EntryPoints:
    return entry_points(group=group)


def _changed(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0
