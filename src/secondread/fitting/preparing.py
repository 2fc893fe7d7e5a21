"""The cohorts of a fit as prepared images: preprocessing fitted on normals, every file read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from secondread.cohorts.cohorts import Cohorts
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row, patient_of
from secondread.errors import DataError
from secondread.fitting.planning import HELD_OUT
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.prepare import fit_preprocessing
from secondread.preprocessing.prepare_targets import prepare_targets
from secondread.preprocessing.prepared_set import PreparedSet, prepare_set
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.recipes.recipe import Recipe
from secondread.terminal.counting import counting
from secondread.terminal.say import say
from secondread.wording.lists import first_lines

COHORTS = ("normal", "unlabelled", "abnormal", "validation", "calibration", "auxiliary")
WITH_MASKS = ("abnormal", "auxiliary")
"""The cohorts whose masks a detector may learn from: of an unlabelled image nobody knows one."""
MOST_UNREADABLE = 0.5


def scaling_cohort(sets: Mapping[str, PreparedSet]) -> str:
    """Whose scores and maps give the scales: those of held-out normals, or where there is none of the
    unlabelled images."""
    return "validation" if len(sets["validation"]) else "unlabelled"


def fitted_preprocessing(
    recipe: Recipe, manifest: Manifest, cohorts: Cohorts, cache: Cache, workers: int, shown: bool
) -> Preprocessing:
    """Fitted on the normal cohort, where a step needs it; on the unlabelled one where there is no normal."""
    preprocessing = Preprocessing(recipe.preprocessing)
    if not preprocessing.needs_fit:
        return preprocessing
    references = [manifest.reference(row) for row in cohorts.normal or cohorts.unlabelled]
    with counting("fitting preprocessing", shown=shown, total=len(references)) as note:
        return fit_preprocessing(references, preprocessing, cache=cache, workers=workers, progress=note)


def prepare_cohorts(
    manifest: Manifest,
    cohorts: Cohorts,
    preprocessing: Preprocessing,
    cache: Cache,
    workers: int,
    shown: bool,
    *,
    masks: bool = False,
) -> dict[str, PreparedSet]:
    """Every cohort's images, prepared; what cannot be read is left out and said. No auxiliary images, no such
    set. `masks`: with the masks of `WITH_MASKS`; where one cannot be had its image has none, and that is
    said.

    Raises DataError where more than half of a cohort cannot be read.
    """
    sets: dict[str, PreparedSet] = {}
    for name in COHORTS:
        rows: list[Row] = getattr(cohorts, name)
        if name == "auxiliary" and not rows:
            continue
        references = [manifest.reference(row) for row in rows]
        with counting(f"preparing {name}", shown=shown and bool(rows), total=len(rows)) as note:
            sets[name] = prepare_set(references, preprocessing, cache=cache, workers=workers, progress=note)
        sets[name].set_patients([patient_of(row) for row in rows])
        errors = sets[name].errors
        if len(errors) > MOST_UNREADABLE * len(rows):
            raise DataError(
                f"{len(errors)} of {len(rows)} images of cohort {name!r} cannot be read; first: {errors[0]}"
            )
        for line in first_lines("not read", errors, 5, f"of cohort {name!r}"):
            say(line, shown=shown)
        if masks and name in WITH_MASKS:
            outlines = [manifest.mask_reference(row) for row in rows]
            with counting(f"masks of {name}", shown=shown and any(outlines), total=len(rows)) as note:
                prepare_targets(sets[name], outlines, cache=cache, workers=workers, progress=note)
            for line in first_lines("mask not read", sets[name].target_errors, 5, f"of cohort {name!r}"):
                say(line, shown=shown)
    return sets


def without_copies(cohorts: Cohorts, sets: Mapping[str, PreparedSet]) -> Cohorts:
    """The cohorts without the held-out normals that are images of an earlier cohort, byte for byte or by
    their pixels: the detector has learned from these, so they would promise too much. Of auxiliary images
    those go that are held-out normals. Each cohort's loss is a note."""
    notes = list(cohorts.notes)
    kept: dict[str, list[Row]] = {}
    seen: set[str] = set()
    held_out: set[str] = set()
    for name in COHORTS:
        rows: list[Row] = getattr(cohorts, name)
        kept[name] = rows
        if name not in sets:
            continue
        images = sets[name]
        if name in (*HELD_OUT, "auxiliary"):
            known = held_out if name == "auxiliary" else seen
            copies = {
                position
                for position, *both in zip(images.positions, images.digests, images.contents, strict=True)
                if not known.isdisjoint(both)
            }
            if copies:
                names = ", ".join(rows[position].path for position in sorted(copies)[:3])
                notes.append(
                    f"{len(copies)} image(s) left out of {name}, being copies of images in other cohorts: "
                    f"{names}{' …' if len(copies) > 3 else ''}"
                )
            kept[name] = [row for position, row in enumerate(rows) if position not in copies]
        seen.update(images.digests, images.contents)
        if name in HELD_OUT:
            held_out.update(images.digests, images.contents)
    return replace(
        cohorts,
        notes=notes,
        validation=kept["validation"],
        calibration=kept["calibration"],
        auxiliary=kept["auxiliary"],
    )
