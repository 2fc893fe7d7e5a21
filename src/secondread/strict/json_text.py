"""JSON (RFC 8259) of bounded size, without repeated names, NaN or infinity."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from secondread.errors import DataError, UserError
from secondread.strict.limits import Limits, check
from secondread.strict.plain_file import Unfit, read_plain

DOCUMENT = Limits(length=16 << 20, values=1_000_000)
"""Of what commands write beside their results: plans, runs, figures."""


def parse_json(data: bytes | bytearray, limits: Limits = DOCUMENT) -> Any:
    """The value of a JSON text in UTF-8. Raises Unfit in one line, with the line of the text where known.

    Its values are counted by their separators before one is made, so that a short text that opens millions of
    lists costs nothing.
    """
    if len(data) > limits.length:
        raise Unfit(f"has {len(data):,} bytes, and at most {limits.length:,} are read")
    if sum(map(data.count, (b",", b"[", b"{", b":"))) > limits.values:
        raise Unfit(f"holds more than {limits.values:,} values")

    def number(text: str) -> int:
        if len(text) > limits.digits:
            raise Unfit(f"holds a number of {len(text):,} digits")
        return int(text)

    def fraction(text: str) -> float:
        value = float(text[:400])
        if not math.isfinite(value) or len(text) > 400:
            raise Unfit(f"holds a number that is too large ({text[:20]}…)")
        return value

    try:
        text = data.decode("utf-8-sig")
        value = json.loads(
            text, object_pairs_hook=_mapping, parse_int=number, parse_float=fraction, parse_constant=_constant
        )
    except json.JSONDecodeError as error:
        raise Unfit(f"line {error.lineno}, column {error.colno}: is not JSON ({error.msg})") from None
    except UnicodeDecodeError as error:
        raise Unfit(f"is not JSON in UTF-8 (byte {error.start:,})") from None
    except RecursionError:
        raise Unfit(f"is nested more than {limits.depth} deep") from None
    check(value, limits)
    return value


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Unfit(f"the name {name[:80]!r} stands twice in one object")
        found[name] = value
    return found


def _constant(text: str) -> NoReturn:
    raise Unfit(f"holds {text}, which is not a number")


def read_json(
    path: str | Path,
    kind: type[UserError | DataError] = DataError,
    advice: str = "make it anew",
    limits: Limits = DOCUMENT,
) -> Any:
    """The value of a JSON file. Whatever is wrong with it is one line of `kind`: file, problem, `advice`."""
    try:
        return parse_json(read_plain(path, limits.length), limits)
    except Unfit as error:
        raise kind(f"{path}: is damaged ({error}); {advice}") from None
    except OSError as error:
        raise kind(f"{path}: cannot be read ({error.strerror or error}); {advice}") from None


def read_object(
    path: str | Path,
    kind: type[UserError | DataError] = DataError,
    advice: str = "make it anew",
    limits: Limits = DOCUMENT,
) -> dict[str, Any]:
    """`read_json` of a file that holds one object."""
    found = read_json(path, kind, advice, limits)
    if not isinstance(found, dict):
        raise kind(f"{path}: is no JSON object; {advice}")
    return found
