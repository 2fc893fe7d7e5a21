"""What can be known of a fit before an image is read: its cohorts, and what a person must change."""

from __future__ import annotations

from collections import Counter

from secondread.cohorts.auxiliary import read_auxiliary
from secondread.cohorts.cohorts import Cohorts, build_cohorts
from secondread.cohorts.manifest import Manifest
from secondread.detectors.contract import Detector
from secondread.errors import UserError
from secondread.images.several_files import SEPARATOR, files_of
from secondread.recipes.recipe import Recipe
from secondread.terminal.say import say

AUXILIARY, NORMAL, UNLABELLED = "auxiliary", "normal", "unlabelled"


def listed_auxiliary(recipe: Recipe, *, workers: int, shown: bool) -> Manifest | None:
    """The auxiliary images that the recipe names; None where it names none."""
    if recipe.cohorts.auxiliary is None:
        return None
    auxiliary = read_auxiliary(recipe.cohorts.auxiliary, workers=workers)
    for note in auxiliary.notes:
        say(f"note: {note}", shown=shown)
    return auxiliary


def planned_cohorts(
    detector: Detector,
    recipe: Recipe,
    manifest: Manifest,
    auxiliary: Manifest | None,
    *,
    allow_shared_patients: bool,
) -> Cohorts:
    """The cohorts of the fit. Raises UserError where one is missing, where unlabelled images are to be taken
    for normal and the detector learns from them as they are, or rows name another number of files."""
    if recipe.cohorts.unlabelled_as == NORMAL and learns_from(detector, UNLABELLED):
        raise UserError(
            f"detector {recipe.detector['name']} learns from unlabelled images itself, so they cannot "
            "be taken for normal; leave out cohorts.unlabelled_as"
        )
    wanted = learns_from(detector, AUXILIARY)
    cohorts = build_cohorts(
        manifest,
        recipe.cohorts,
        recipe.seed,
        allow_shared_patients=allow_shared_patients,
        auxiliary=auxiliary if wanted else None,
        without_normals=not learns_from(detector, NORMAL),
    )
    if auxiliary is not None and not wanted:
        cohorts.notes.append(
            f"detector {recipe.detector['name']} does not learn from auxiliary images: those of "
            "cohorts.auxiliary are not read"
        )
    _refuse_missing_cohorts(detector, cohorts, recipe)
    _refuse_other_files(recipe, manifest, cohorts)
    return cohorts


def learns_from(detector: Detector, cohort: str) -> bool:
    return cohort in detector.needs | detector.uses or any(cohort in stage.on for stage in detector.stages())


def _refuse_missing_cohorts(detector: Detector, cohorts: Cohorts, recipe: Recipe) -> None:
    for name in sorted(detector.needs):
        if getattr(cohorts, name):
            continue
        if name == AUXILIARY:
            raise UserError(
                f"detector {recipe.detector['name']} needs auxiliary images, and there are none; name a "
                "folder, an .npz or a manifest of images that are neither normal nor abnormal with "
                "--set cohorts.auxiliary=PATH"
            )
        raise UserError(
            f"detector {recipe.detector['name']} needs the cohort {name!r}, "
            "and the manifest and the recipe's cohorts section give none"
        )


def _refuse_other_files(recipe: Recipe, manifest: Manifest, cohorts: Cohorts) -> None:
    counts = Counter(len(files_of(manifest.reference(row))) for row in cohorts.normal or cohorts.unlabelled)
    preprocessing = recipe.preprocessing
    if preprocessing.named_files in counts:
        return
    ((count, _),) = counts.most_common(1)
    wanted, named = preprocessing.named_files, f"{count} files" if count > 1 else "one file"
    if preprocessing.foreground == "given":
        raise UserError(
            f"{manifest.source or 'manifest'}: each row's path names {named}, and the recipe prepares images "
            f"of {preprocessing.files} and a mask of the foreground; name {wanted} files in each path, "
            f"separated by {SEPARATOR}, the mask last, or set preprocessing.foreground=none"
        )
    raise UserError(
        f"{manifest.source or 'manifest'}: each row's path names {named}, and the recipe prepares images of "
        f"{wanted}; set preprocessing.files={count}, or name {wanted} in each path, separated by {SEPARATOR}"
    )
