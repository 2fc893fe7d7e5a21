"""Cases of several settings: each pair of values is tried in the quick tests, all together in the slow."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product

import pytest


def each_pair(**settings: Sequence[object]) -> pytest.MarkDecorator:
    """`pytest.mark.parametrize` with all combinations, slow but for a few in which any two settings take all
    their values together: what goes wrong by a combination does so, nearly always, by a combination of two.
    """
    cases = list(product(*settings.values()))
    quick = covering([len(values) for values in settings.values()])
    places = product(*(range(len(values)) for values in settings.values()))
    found = [
        pytest.param(*case, marks=[] if place in quick else [pytest.mark.slow])
        for case, place in zip(cases, places, strict=True)
    ]
    return pytest.mark.parametrize(tuple(settings), found)


def covering(counts: Sequence[int]) -> set[tuple[int, ...]]:
    """Combinations that hold each pair of values of any two settings: each time that with most new ones."""
    cases = {place: _pairs(place) for place in product(*map(range, counts))}
    wanted, chosen = set().union(*cases.values()), set()
    while wanted:
        best = max(cases, key=lambda place: len(cases[place] & wanted))
        wanted -= cases[best]
        chosen.add(best)
    return chosen


def _pairs(place: tuple[int, ...]) -> set[tuple[tuple[int, int], ...]]:
    return set(combinations(enumerate(place), 2))
