"""Which recipe to start with, from what a manifest holds."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.calibration.calibration_settings import CalibrationSettings
from secondread.cohorts.cohort_settings import CohortSettings
from secondread.cohorts.manifest import Manifest, ManifestLike
from secondread.cohorts.row import Row, counts_alone, patient_of
from secondread.cohorts.unlabelled import in_pool
from secondread.errors import UserError
from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.metrics.realised_rate import patients_needed
from secondread.settings.arguments import checked
from secondread.wording.numbers import count

FEW_UNLABELLED = 50
"""Fewer unlabelled images than this are too few to learn a ratio from."""
SUPERVISED = 100
"""From so many labelled abnormal images on, a supervised classifier is worth a row."""
TRIED = 5
"""Images that are read until one can be, to see what kind they are."""
LABELLED = "cohorts.labelled={any: all}"
MINUTE, MINUTES = "a minute for 1,000 images", "some minutes for 1,000 images"
VOLUMES = "preprocessing.size=[32,128,128]"
FINER = {
    "feature-posterior": ("detector.strides=[8,16]",),
    "feature-subspace": ("detector.strides=[8,16]", "detector.grids=[1,2]"),
    "padim": ("detector.layers=[stage3,stage5]", "detector.grid=1"),
    "aeflow-gmm": ("detector.encoder.layer=stage5", "detector.features.projection=112"),
}
"""Levels whose maps still have several cells along the slices of such volumes."""


@dataclass(frozen=True)
class Suggestion:
    """One recipe to fit.

    recipe    a preset's name
    settings  what to set over it, `KEY=VALUE`
    reason    why it fits this manifest, one sentence
    cost      what it takes, in words
    """

    recipe: str
    settings: tuple[str, ...]
    reason: str
    cost: str


@dataclass(frozen=True)
class Suggested:
    """What to start with.

    found        what lies in the manifest, one line
    suggestions  the first is the one to start with
    notes        what should be known or done first, one line each
    """

    found: str
    suggestions: tuple[Suggestion, ...]
    notes: tuple[str, ...]


@checked
def suggest(manifest: ManifestLike) -> Suggested:
    """The recipes to start with for this manifest, by its cohorts and the rank of its images.

    Labels and splits are counted, one image is read, and nothing is fitted. The rules follow the tables of
    docs/results.md. UserError where no image of the training rows can be read, or there is no row to learn
    from.

    >>> import secondread
    >>> path = secondread.make_phantoms("phantoms", seed=0, n_normal=150, n_abnormal=10)
    >>> secondread.suggest(path).suggestions[0].recipe
    'feature-subspace'
    """
    manifest = Manifest.of(manifest)
    learnt = [row for row in manifest if row.split in ("train", "")]
    of_label: dict[str, list[Row]] = {"normal": [], "abnormal": [], "unlabelled": []}
    for row in learnt:
        of_label["unlabelled" if in_pool(row) else row.label or "unlabelled"].append(row)
    if not of_label["normal"] and not of_label["unlabelled"]:
        raise UserError(
            f"{manifest.source or 'manifest'}: no row of split train is normal or unlabelled, so there is "
            "nothing to learn from; label some rows normal, or leave their label empty"
        )
    rank, size, unread = _kind(manifest, of_label["normal"] or of_label["unlabelled"])
    patients = len({patient_of(row) for row in of_label["normal"]})
    counts = ", ".join(f"{len(rows):,} {label}" for label, rows in of_label.items() if rows)
    kind = "volumes" if rank == 3 else "images"
    some = " × ".join(map(str, size))
    found = f"{counts} training {kind} of some {some}; {count(patients, 'patient')} with normals"
    chosen = _suggestions(rank, {label: len(rows) for label, rows in of_label.items()})
    return Suggested(found, tuple(chosen), (*unread, *_notes(manifest, of_label, patients)))


def _kind(manifest: Manifest, rows: list[Row]) -> tuple[int, tuple[int, ...], list[str]]:
    """Rank and size of the first image that can be read, and a line for each before it."""
    failed: list[str] = []
    for row in rows[:TRIED]:
        try:
            image = read_image(manifest.reference(row))
        except (ImageError, OSError) as error:
            failed.append(f"an image cannot be read: {error}")
            continue
        return image.rank, image.size, failed
    raise UserError("\n".join(failed))


def _suggestions(rank: int, counts: dict[str, int]) -> list[Suggestion]:
    where = " The encoder reads volumes slice by slice." if rank == 3 else ""

    def of(recipe: str, reason: str, cost: str, *settings: str) -> Suggestion:
        of_rank = (VOLUMES, *FINER.get(recipe, ())) if rank == 3 else ()
        return Suggestion(recipe, (*of_rank, *settings), reason, cost)

    if not counts["normal"]:
        return [
            of(
                "mutual-scoring",
                "Without confirmed normals, images can only be held against each other; a finding that many "
                f"patients share then counts as normal.{where}",
                "no training; scoring grows with the number of reference images",
            )
        ]
    found: list[Suggestion] = []
    if counts["unlabelled"] >= FEW_UNLABELLED:
        found += [
            of(
                "feature-posterior",
                "Unlabelled images hold the abnormal ones that the ratio to the normals points at; where one "
                f"in ten is abnormal it beats what learns from normals alone, and it draws maps.{where}",
                MINUTES,
            ),
            of("density-ratio", f"The same ratio of one vector per image, without maps.{where}", MINUTE),
        ]
    found += [
        of("feature-subspace", f"It learns from normals alone, in one pass, and draws maps.{where}", MINUTE),
        of(
            "padim",
            f"Its maps hold each place against the same place of normals, for small findings.{where}",
            MINUTE,
        ),
    ]
    if counts["abnormal"]:
        learns = "[unlabelled,abnormal]" if counts["unlabelled"] >= FEW_UNLABELLED else "[abnormal]"
        found.append(
            of(
                "aeflow-gmm",
                "A few labelled abnormal images move its abnormal component to where they lie.",
                MINUTES,
                f"detector.mixture.learns_from={learns}",
                LABELLED,
            )
        )
    if counts["abnormal"] >= SUPERVISED:
        found.append(
            of(
                "density-ratio",
                "With so many labels a supervised classifier of the same features is worth a look; what it "
                "has not seen it may miss.",
                MINUTE,
                "detector.against=abnormal",
                LABELLED,
            )
        )
    return found


def _notes(manifest: Manifest, of_label: dict[str, list[Row]], patients: int) -> list[str]:
    notes = []
    if all(not row.split for row in manifest):
        notes.append("no row has a split yet: run `secondread split` first")
    rate = CalibrationSettings().false_alarm_rate
    needed = patients_needed(rate)
    share = CohortSettings().calibration
    if of_label["normal"] and (held := round(share * patients)) < needed:
        notes.append(
            f"a threshold for {100 * rate:.0f} % false alarms needs {needed} calibration patients, and "
            f"{share:g} of the {patients} with normals are {held}: readings will be ranked, and none flagged"
        )
    if of_label["normal"] and all(map(counts_alone, manifest)):
        notes.append("no row has a patient_id, so each image counts as a patient")
    if not of_label["normal"]:
        notes.append(
            "without normals there is no p-value and no flag until `secondread calibrate` has seen some"
        )
    return notes
