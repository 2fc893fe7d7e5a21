"""Names that may have been meant, for whoever wrote one that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def near_names(name: object, known: Iterable[str], most: int = 3, cutoff: float = 0.6) -> list[str]:
    """The nearest of the known names, the best first, whatever their capitals.

    cutoff  how alike they have to be, from 0 to 1, as `difflib.SequenceMatcher.ratio` reckons it

    >>> near_names("AEFLOW", ["aeflow", "padim", "Aeflow"])
    ['aeflow', 'Aeflow']
    >>> near_names("padmi", ["aeflow", "PaDiM"], 1)
    ['PaDiM']
    """
    spelt: dict[str, list[str]] = {}
    for each in known:
        spelt.setdefault(each.lower(), []).append(each)
    near = get_close_matches(str(name)[:200].lower(), spelt, most, cutoff)
    return [each for found in near for each in spelt[found]][:most]
