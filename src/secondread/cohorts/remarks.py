"""What readers remark of images, gathered by kind: for checks and reports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SERIOUS = ("slices missing", "unreadable files", "wide gaps", "uneven slice spacing", "copies dropped")
_SERIOUS_WITHIN = ("without positions", "presumed", "not finite", "one value")
_NUMBER = re.compile(r"\d[\d.,]*")


@dataclass(frozen=True)
class Remarked:
    """Images of which one kind of thing is remarked.

    kind     what their remarks have in common, without numbers
    example  the first of them, whole
    paths    the images
    serious  whether part of the image may be missing, doubled or misplaced, so that its score may mislead
    """

    kind: str
    example: str
    paths: tuple[str, ...]
    serious: bool


def remarked(remarks: Iterable[tuple[str, Sequence[str]]]) -> list[Remarked]:
    """The remarks of images (path, remarks) by kind: serious ones first, then the most frequent."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path, told in remarks:
        for remark in told:
            found.setdefault(kind_of(remark), []).append((path, remark))
    kinds = [
        Remarked(kind, told[0][1], tuple(dict.fromkeys(path for path, _ in told)), is_serious(told[0][1]))
        for kind, told in found.items()
    ]
    return sorted(kinds, key=lambda one: (not one.serious, -len(one.paths)))


def kind_of(remark: str) -> str:
    """What remarks of one kind have in common, without numbers."""
    return " ".join(_NUMBER.sub("…", remark.partition(":")[0]).split())


def is_serious(remark: str) -> bool:
    """See `Remarked`."""
    return remark.startswith(_SERIOUS) or any(word in remark for word in _SERIOUS_WITHIN)
