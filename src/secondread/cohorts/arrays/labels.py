"""Labels as people have them in Python, as a manifest has them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from secondread.cohorts.columns import LABELS
from secondread.errors import UserError


def labels_of(given: Iterable[Any], count: int) -> list[str]:
    """`normal`, `abnormal` or empty (unlabelled) for each of `count` images.

    given  a list, array, tensor or pandas Series of the words, or of 0 and False (normal) and 1 and True
           (abnormal); None, NaN and an empty text are unlabelled

    Raises UserError for any other label, and where there are not as many as images.
    """
    labels = [_label(one, number) for number, one in enumerate(plain(given))]
    refuse_other_count("labels", len(labels), count)
    return labels


def texts_of(what: str, given: Iterable[Any], count: int) -> list[str]:
    """A column of texts, empty where a value is None or NaN. UserError where there are not `count`."""
    texts = ["" if _is_missing(one) else str(one).strip() for one in plain(given)]
    refuse_other_count(what, len(texts), count)
    return texts


def plain(given: Iterable[Any]) -> list[Any]:
    """The values of a list, array, tensor or Series as Python's own."""
    return list(given.tolist()) if hasattr(given, "tolist") else list(given)


def refuse_other_count(what: str, found: int, count: int) -> None:
    if found != count:
        raise UserError(f"{what}: {found} were given for {count} images; give one for each")


def _is_missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _label(value: Any, number: int) -> str:
    if _is_missing(value) or type(value).__name__ == "NAType":  # of pandas
        return ""
    if isinstance(value, str) and value.strip().lower() in LABELS:
        return value.strip().lower()
    if isinstance(value, bool | int | float) and value in (0, 1):
        return LABELS[int(value)]
    raise UserError(
        f"labels: label {number} is {str(value)[:40]!r}; give normal or 0, abnormal or 1, and None where an "
        "image has no label"
    )
