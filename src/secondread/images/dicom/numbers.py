"""Numbers of a DICOM header, by one rule: missing is not an error, present and not a number is one."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from secondread.images.image import ImageError

if TYPE_CHECKING:
    from pydicom import Dataset

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_BINARY = frozenset({"FD", "FL", "US", "SS", "UL", "SL", "UV", "SV", "OW", "OB", "OF", "OD"})
_FIRST_COUNTS = frozenset({"WindowCenter", "WindowWidth"})
ADVICE = "correct the header, or export the file again"


class HeaderValueError(Exception):
    """A header value that cannot be used: the element by its name, never its text; and what to do."""

    def __init__(self, problem: str, advice: str = ADVICE) -> None:
        super().__init__(problem)
        self.advice = advice


@contextlib.contextmanager
def header_of(path: str) -> Iterator[None]:
    """Read a header inside this: what cannot be used in it becomes the file's ImageError."""
    try:
        yield
    except HeaderValueError as error:
        raise ImageError(path, str(error), error.advice) from error


def numbers(dataset: Dataset, keyword: str, count: int | None = None, *, nan: bool = False) -> list[float]:
    """All values of an element; empty where it is missing or empty.

    What can be read without doubt is read: a plus sign, spaces around a value. A decimal comma, a unit,
    quotes and anything else that DICOM's decimal strings (PS3.5 6.2) do not know raise HeaderValueError,
    and so do another number of values than `count`, and values that are not finite, but for `nan` where the
    element may hold it.
    """
    values = [_as_number(one, keyword) for one in _values(dataset, keyword)]
    if not all(math.isfinite(one) or (nan and math.isnan(one)) for one in values):
        raise HeaderValueError(f"{keyword} in the header is not a finite number")
    if values and count is not None and len(values) != count:
        raise HeaderValueError(f"{keyword} in the header has {len(values)} values, and {count} belong there")
    return values


def number(dataset: Dataset, keyword: str, *, nan: bool = False) -> float | None:
    """The value of an element, or None where it is missing or empty; of several windows the first.

    Raises HeaderValueError where it is no number, or several that differ.
    """
    found = numbers(dataset, keyword, nan=nan)
    if not found:
        return None
    if keyword not in _FIRST_COUNTS and any(one != found[0] for one in found[1:]):
        raise HeaderValueError(f"{keyword} in the header has {len(found)} values that differ")
    return found[0]


def whole_number(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    """An element that must be a whole number; `default` where it is missing. Raises HeaderValueError."""
    found = number(dataset, keyword)
    if found is None:
        if default is None:
            raise HeaderValueError(f"{keyword} is missing from the header")
        return default
    if found != int(found):
        raise HeaderValueError(f"{keyword} in the header is not a whole number")
    return int(found)


def _values(dataset: Dataset, keyword: str) -> list[Any]:
    """The values as text where the file holds text, else as numbers; empty where there is none."""
    from pydicom.datadict import dictionary_VR
    from pydicom.dataelem import RawDataElement
    from pydicom.multival import MultiValue

    try:
        element = dataset.get_item(keyword)
    except KeyError:
        return []
    if element is None:
        return []
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
        representation = element.VR if element.VR not in (None, "UN") else dictionary_VR(keyword)
        if representation not in _BINARY:
            return _parts(element.value.decode("latin-1"))
    try:
        found = dataset[keyword].value
    except Exception as error:
        raise HeaderValueError(f"{keyword} in the header is not a number") from error
    if found is None or found == "" or found == b"":
        return []
    if isinstance(found, str):
        return _parts(found)
    several = isinstance(found, (list, tuple, MultiValue))
    return [getattr(one, "original_string", one) for one in (found if several else [found])]


def _parts(text: str) -> list[str]:
    parts = [part.strip(" \0\t\r\n") for part in text.split("\\")]
    return parts if any(parts) else []


def _as_number(one: Any, keyword: str) -> float:
    if isinstance(one, str):
        if not _DECIMAL.fullmatch(one.strip()):
            raise HeaderValueError(f"{keyword} in the header is not a number")
        return float(one)
    try:
        return float(one)
    except (TypeError, ValueError, OverflowError) as error:
        raise HeaderValueError(f"{keyword} in the header is not a number") from error
