"""Why a fit would fail, as lines that are told together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from secondread.errors import DataError, UserError


@dataclass(frozen=True)
class Problem:
    """One reason, with its remedy.

    unreadable  it lies with data that cannot be read, and not with what was asked for
    """

    text: str
    unreadable: bool = False


def found(check: Callable[[], object]) -> list[Problem]:
    """The problems that a check raises as `UserError` or `DataError`, one for each of its lines."""
    try:
        check()
    except (UserError, DataError) as error:
        return [Problem(line, isinstance(error, DataError)) for line in str(error).split("\n")]
    return []


def refuse(problems: Iterable[Problem]) -> None:
    """Raise all of them in one error, a line each; `DataError` where every one is unreadable data."""
    told = list(dict.fromkeys(problems))
    if not told:
        return
    kind = DataError if all(problem.unreadable for problem in told) else UserError
    raise kind("\n".join(problem.text for problem in told))
