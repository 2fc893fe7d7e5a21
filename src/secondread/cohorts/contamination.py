"""Normals that are abnormal in truth: abnormal training images put among what is taken for normal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from secondread.cohorts.cohort_settings import CohortSettings
from secondread.cohorts.row import Row
from secondread.cohorts.unlabelled import shuffled
from secondread.errors import UserError


def contaminated(
    normal: Sequence[Row], abnormal: Sequence[Row], settings: CohortSettings, seed: int, name: str
) -> tuple[list[Row], list[str]]:
    """The normals with round(c·n) of n replaced by abnormal images, and a note; c is `cohorts.contamination`.

    normal    the cohort as it is without contamination
    abnormal  training images that no other cohort uses

    Which normals leave and which abnormal images come are the first of two orders that the seed gives, so a
    larger share keeps the planted images of a smaller one, and leaves out the normals that it left out.
    Nothing in a planted row tells it from a normal one. Raises UserError where there are too few, and
    where the share comes to no image.
    """
    if settings.contamination == 0:
        return list(normal), []
    count = round(settings.contamination * len(normal))
    if normal and not count:
        raise UserError(
            f"{name}: cohorts.contamination {settings.contamination:g} of {len(normal)} normals comes "
            "to no image; raise it"
        )
    if count > len(abnormal):
        raise UserError(
            f"{name}: cohorts.contamination {settings.contamination:g} of {len(normal)} normals needs "
            f"{count} abnormal training images that no other cohort uses, but {len(abnormal)} are there; "
            "lower it, or cohorts.max_normal"
        )
    leaving = {row.path for row in shuffled(normal, seed, 6)[:count]}
    planted = [
        replace(row, label="normal", finding="", mask="") for row in shuffled(abnormal, seed, 7)[:count]
    ]
    note = f"normal holds {count} of {len(normal)} images that are in truth abnormal (cohorts.contamination)"
    return [row for row in normal if row.path not in leaving] + planted, [note]
