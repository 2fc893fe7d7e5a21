"""The cohorts of a fit as prepared images: preprocessing fitted on normals, every file read once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from secondread.bundles.progress import counting, say
from secondread.cohorts.cohorts import Cohorts
from secondread.cohorts.manifest import Manifest, Row
from secondread.errors import DataError, UserError
from secondread.preprocessing.cache import Cache
from secondread.preprocessing.prepare import fit_preprocessing
from secondread.preprocessing.prepared_set import PreparedSet, prepare_set
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.recipes.recipe import Recipe

COHORTS = ("normal", "unlabelled", "abnormal", "validation", "calibration")
MOST_UNREADABLE = 0.5


def fitted_preprocessing(
    recipe: Recipe, manifest: Manifest, cohorts: Cohorts, cache: Cache, workers: int, shown: bool
) -> Preprocessing:
    """Fitted on the normal cohort, where a step needs it."""
    preprocessing = Preprocessing(recipe.preprocessing)
    if not preprocessing.needs_fit:
        return preprocessing
    references = [manifest.reference(row) for row in cohorts.normal]
    with counting("fitting preprocessing", shown=shown, total=len(references)) as note:
        return fit_preprocessing(references, preprocessing, cache=cache, workers=workers, progress=note)


def prepare_cohorts(
    manifest: Manifest,
    cohorts: Cohorts,
    preprocessing: Preprocessing,
    cache: Cache,
    workers: int,
    shown: bool,
) -> dict[str, PreparedSet]:
    """Every cohort's images, prepared; what cannot be read is left out and said.

    Raises DataError where more than half of a cohort cannot be read.
    """
    sets: dict[str, PreparedSet] = {}
    for name in COHORTS:
        rows: list[Row] = getattr(cohorts, name)
        references = [manifest.reference(row) for row in rows]
        with counting(f"preparing {name}", shown=shown and bool(rows), total=len(rows)) as note:
            sets[name] = prepare_set(references, preprocessing, cache=cache, workers=workers, progress=note)
        errors = sets[name].errors
        if len(errors) > MOST_UNREADABLE * len(rows):
            raise DataError(
                f"{len(errors)} of {len(rows)} images of cohort {name!r} cannot be read; first: {errors[0]}"
            )
        for error in errors[:5]:
            say(f"not read: {error}", shown=shown)
        if len(errors) > 5:
            say(f"… and {len(errors) - 5} more of cohort {name!r}", shown=shown)
    refuse_equal_images(sets)
    return sets


def refuse_equal_images(sets: Mapping[str, PreparedSet]) -> None:
    """Raises UserError where a calibration image is, byte for byte, one that the detector learns from:
    its p-values would promise too much."""
    learnt = {digest for name in COHORTS[:-1] for digest in sets[name].digests}
    held_out = sets["calibration"]
    twice = [
        reference
        for reference, digest in zip(held_out.references, held_out.digests, strict=True)
        if digest in learnt
    ]
    if twice:
        names = ", ".join(Path(reference).name for reference in twice[:5])
        raise UserError(
            f"{len(twice)} calibration image(s) are copies of images in other cohorts: {names}; "
            "remove the copies (`secondread check` lists them), or give copies one patient_id"
        )
