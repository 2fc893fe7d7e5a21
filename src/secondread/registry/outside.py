"""Code from outside of the package, named as `my_package.my_module:MyDetector`: who may name it.

A recipe that a person wrote, an option or the environment variable `SECONDREAD_ALLOW_CODE` allows a name; a
bundle never does. What nobody allowed is not imported, nor is any part of its path. Installed entry points
are the other way in (`secondread.registry.registry`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.metadata import Distribution, PackageNotFoundError, distributions
from importlib.metadata import version as version_of
from importlib.util import find_spec
from inspect import getmodulename
from typing import Annotated, Any, Literal

from pydantic import Field

from secondread.errors import UserError
from secondread.settings.base import Settings

VARIABLE = "SECONDREAD_ALLOW_CODE"
"""Names that may be imported, with commas between them: for services, which have no command line."""

PLACE = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$"
LONGEST = 200
"""Characters of a name."""
_allowed: set[str] = set()


class OutsideCode(Settings):
    """What a bundle says of code that it was fitted with.

    kind          what the code is
    name          as the recipe has it: an entry point's, or `module:Class`
    place         `module:Class`
    distribution  and `version`: the installed package that it came from; empty where it was none
    """

    kind: Literal["detector", "encoder", "anomaly", "network"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]+$", max_length=LONGEST)]
    place: Annotated[str, Field(pattern=PLACE, max_length=LONGEST)]
    distribution: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]*$", max_length=100)] = ""
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.!+-]*$", max_length=50)] = ""

    def installed_otherwise(self) -> str:
        """What to tell where another version, or another package, has this code here; empty where it is the
        same."""
        here = distribution_of(self.place)
        if here == (self.distribution, self.version):
            return ""
        return f"fitted with {self}, and here it is of {' '.join(here) or 'no package'}: scores may differ"

    def __str__(self) -> str:
        package = f" of {self.distribution} {self.version}" if self.distribution else ""
        named = self.name if self.name == self.place else f"{self.name} ({self.place})"
        return f"the {self.kind} {named}{package}"


def is_place(name: str) -> bool:
    """Whether a name is of the form `module:Class`, of plain identifiers."""
    return len(name) <= LONGEST and name.isprintable() and re.match(PLACE, name) is not None


def allow(places: Iterable[str]) -> None:
    """Allow code to be imported in this process. Nothing is imported yet.

    Raises UserError for what is not of the form `module:Class`.
    """
    for place in places:
        if not is_place(place):
            raise UserError(
                f"{place[:80]!r} names no code; write my_package.my_module:MyDetector, as the recipe does"
            )
        _allowed.add(place)


def is_allowed(place: str) -> bool:
    """Whether a person allowed this code, in this process or by `SECONDREAD_ALLOW_CODE`."""
    named = (name.strip() for name in os.environ.get(VARIABLE, "").split(","))
    return place in _allowed or place in named


def how_to_allow(place: str) -> str:
    return f"give --allow-code {place} (in Python: allow=[{place!r}]), or set {VARIABLE}"


def forbidden(kind: str, place: str) -> UserError:
    """For code that nobody allowed, and that is not imported therefore."""
    return UserError(
        f"the {kind} {place} is code from outside of secondread that nobody allowed, so it was not imported; "
        f"if you trust it, {how_to_allow(place)}"
    )


def import_place(place: str) -> Any:
    """What `module:Class` is. Only for a name that a person or an installed entry point allowed.

    Raises UserError where it is not installed, or fails while it is imported.
    """
    module, _, attribute = place.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        why = f"there is no module {error.name!r}"
        raise UserError(
            f"{place} is not installed here ({why}); install its package, or put its folder on PYTHONPATH"
        ) from error
    except AttributeError as error:
        raise UserError(f"{place}: {' '.join(str(error).split())[:200]}") from error
    except Exception as error:  # somebody else's code, which may raise anything
        told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(f"{place} cannot be imported ({told})") from error


def refuse_forbidden(code: OutsideCode, *, allowed: bool) -> None:
    """UserError where code that a bundle was fitted with is not allowed. Nothing is imported."""
    if allowed:
        return
    there = "which nobody allowed, so it was not imported; if you trust it, "
    if not is_installed(code.place):
        there = "which is not installed here; if you trust it, install it and "
    raise UserError(f"fitted with {code}, {there}{how_to_allow(code.place)}")


def is_installed(place: str) -> bool:
    """Whether the top package of a name is to be found. Imports nothing."""
    try:
        return find_spec(place.partition(":")[0].partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def described_network(place: str) -> OutsideCode:
    """What a bundle says of a callable `module:name` that makes a network."""
    distribution, version = distribution_of(place)
    return OutsideCode(kind="network", name=place, place=place, distribution=distribution, version=version)


@cache
def distribution_of(place: str) -> tuple[str, str]:
    """The name and version of the installed distribution that holds a module; empty where none does."""
    package = place.partition(":")[0].partition(".")[0]
    for found in distributions():
        if not _holds(found, package):
            continue
        name = found.metadata["Name"]
        try:
            return name, version_of(name)
        except PackageNotFoundError:
            continue
    return "", ""


def _holds(found: Distribution, package: str) -> bool:
    """What `importlib.metadata.packages_distributions` says, which takes seconds where much is installed: it
    takes the names of all files of all distributions apart."""
    if declared := (found.read_text("top_level.txt") or "").split():
        return package in declared
    lists = (found.read_text(name) or "" for name in ("RECORD", "installed-files.txt", "SOURCES.txt"))
    if not any(package in names for names in lists):
        return False
    tops = (
        file.parts[0] if len(file.parts) > 1 else getmodulename(file.name) or "" for file in found.files or ()
    )
    return package in tops
