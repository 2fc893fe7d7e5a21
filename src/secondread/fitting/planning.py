"""What can be known of a fit before an image is read: its cohorts, and what a person must change. No torch
here: what a detector learns from is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from secondread.cohorts.auxiliary import read_auxiliary
from secondread.cohorts.cohorts import Cohorts, build_cohorts
from secondread.cohorts.manifest import Manifest
from secondread.errors import UserError
from secondread.images.several_files import SEPARATOR, files_of
from secondread.recipes.recipe import Recipe
from secondread.terminal.say import say

if TYPE_CHECKING:
    from secondread.detectors.contract import Detector

HELD_OUT = ("validation", "calibration")
"""Cohorts of normals from which nothing learns: the scale of parts and maps, and the threshold."""
AUXILIARY, NORMAL, UNLABELLED = "auxiliary", "normal", "unlabelled"
REMEDIES = {
    NORMAL: "normal images, and no row of {source} has split train and label normal; label some so",
    UNLABELLED: (
        "unlabelled images, and {source} gives none: leave the label of training rows empty, or have some "
        "made of labelled rows with --set cohorts.anomaly_rate=0.3"
    ),
    "abnormal": (
        "labelled abnormal images, and none are taken: let training rows of {source} with label abnormal "
        'join with --set "cohorts.labelled={{any: all}}"'
    ),
}
"""What a detector needs and has not got, and how to come by it."""


@dataclass(frozen=True)
class LearnsFrom:
    """The cohorts that a detector cannot do without, and all that it takes where they are there."""

    needs: frozenset[str]
    takes: frozenset[str]

    @classmethod
    def of(cls, detector: Detector) -> Self:
        stages = frozenset(cohort for stage in detector.stages() for cohort in stage.on)
        return cls(detector.needs, detector.needs | detector.uses | stages)


def listed_auxiliary(recipe: Recipe, *, workers: int, shown: bool) -> Manifest | None:
    """The auxiliary images that the recipe names; None where it names none."""
    if recipe.cohorts.auxiliary is None:
        return None
    auxiliary = read_auxiliary(recipe.cohorts.auxiliary, workers=workers)
    for note in auxiliary.notes:
        say(f"note: {note}", shown=shown)
    return auxiliary


def planned_cohorts(
    learns: LearnsFrom,
    recipe: Recipe,
    manifest: Manifest,
    auxiliary: Manifest | None,
    *,
    allow_shared_patients: bool,
) -> Cohorts:
    """The cohorts of the fit. Raises UserError where one is missing, where unlabelled images are to be taken
    for normal and the detector learns from them as they are, or rows name another number of files."""
    if recipe.cohorts.unlabelled_as == NORMAL and UNLABELLED in learns.takes:
        raise UserError(
            f"detector {recipe.detector['name']} learns from unlabelled images itself, so they cannot "
            "be taken for normal; leave out cohorts.unlabelled_as"
        )
    wanted = AUXILIARY in learns.takes
    cohorts = build_cohorts(
        manifest,
        recipe.cohorts,
        recipe.seed,
        allow_shared_patients=allow_shared_patients,
        auxiliary=auxiliary if wanted else None,
        without_normals=NORMAL not in learns.takes,
    )
    if auxiliary is not None and not wanted:
        cohorts.notes.append(
            f"detector {recipe.detector['name']} does not learn from auxiliary images: those of "
            "cohorts.auxiliary are not read"
        )
    _refuse_missing_cohorts(learns, cohorts, recipe, manifest.source or "manifest")
    refuse_nothing_held_out(cohorts.normal, {name: getattr(cohorts, name) for name in HELD_OUT})
    _refuse_other_files(recipe, manifest, cohorts)
    return cohorts


def _refuse_missing_cohorts(learns: LearnsFrom, cohorts: Cohorts, recipe: Recipe, source: str) -> None:
    for name in sorted(learns.needs):
        if getattr(cohorts, name):
            continue
        if name == AUXILIARY:
            raise UserError(
                f"detector {recipe.detector['name']} needs auxiliary images, and there are none; name a "
                "folder, an .npz or a manifest of images that are neither normal nor abnormal with "
                "--set cohorts.auxiliary=PATH"
            )
        raise UserError(f"detector {recipe.detector['name']} needs {REMEDIES[name].format(source=source)}")


def refuse_nothing_held_out(normal: Sequence[object], held_out: Mapping[str, Sized]) -> None:
    """Raises UserError where a cohort that scales or calibrates is empty although there are normals."""
    for name, images in held_out.items():
        if normal and not len(images):
            raise UserError(f"cohort {name!r} is empty; raise cohorts.{name}")


def _refuse_other_files(recipe: Recipe, manifest: Manifest, cohorts: Cohorts) -> None:
    preprocessing, rows = recipe.preprocessing, cohorts.normal or cohorts.unlabelled
    numbers = (len(files_of(manifest.reference(row))) for row in rows)
    if not rows or preprocessing.named_files in numbers:
        return
    ((count, _),) = Counter(len(files_of(manifest.reference(row))) for row in rows).most_common(1)
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
