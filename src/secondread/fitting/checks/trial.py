"""A training image or two, prepared as the fit would prepare all: whether its files and its window suit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from secondread.cohorts.cohorts import Cohorts
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.fitting.checks.problem import Problem
from secondread.images.image import ImageError
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.cache.place import open_cache
from secondread.preprocessing.prepare import prepare_many
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.recipes.recipe import Recipe

TRIED = 6
"""Images that must fail before a fit is refused for it; the first that can be prepared ends the trial."""


def trial(
    recipe: Recipe, manifest: Manifest, cohorts: Cohorts, cache: str | Path | Cache | None, workers: int
) -> list[Problem]:
    """Why none of a few images can be prepared; nothing where one can.

    They are decoded in a worker process, under limits, as in the fit, unless `workers` is 0.
    """
    preprocessing = Preprocessing(recipe.preprocessing)
    if recipe.preprocessing.align is not None:
        preprocessing = preprocessing.unaligned
    rows = _spread(cohorts.normal or cohorts.unlabelled)
    failed: list[ImageError] = []
    for some in (rows[:1], rows[1:]):
        references = [manifest.reference(row) for row in some]
        for prepared in prepare_many(
            references, preprocessing, cache=open_cache(cache), workers=min(1, workers)
        ):
            if not isinstance(prepared, ImageError):
                return []
            failed.append(prepared)
    if not failed:
        return []
    tried = f"none of {len(failed)} training images that were tried" if failed[1:] else "no training image"
    return [Problem(f"{tried} can be prepared; first: {failed[0]}", unreadable=True)]


def _spread(rows: Sequence[Row]) -> list[Row]:
    """At most `TRIED` rows from the whole list, the first among them."""
    step = max(1, -(-len(rows) // TRIED))
    return list(rows[::step])
