"""From the rows of a manifest to the cohorts of a fit: patient-wise, by seed, never a test row."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from secondread.cohorts.auxiliary import auxiliary_rows
from secondread.cohorts.cohort_settings import CohortSettings
from secondread.cohorts.contamination import contaminated
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row, counts_alone, patient_of
from secondread.cohorts.taken_for_normal import taken_for_normal
from secondread.cohorts.unlabelled import (
    in_pool,
    may_be_unlabelled,
    mixture_of_pool,
    mixture_of_training_rows,
    shuffled,
    with_labels_hidden,
)
from secondread.errors import UserError
from secondread.wording.lists import few
from secondread.wording.numbers import count

ANY_FINDING = "any"


@dataclass(frozen=True)
class Cohorts:
    """The rows that play each part in a fit.

    normal, unlabelled, abnormal   what a detector may learn from; they share no image
    validation, calibration        normals of other patients than all of the above and than each other
    auxiliary                      images from elsewhere, with absolute paths; no image of the test or of a
                                   held-out cohort
    taken_for_normal               how many of `normal`, its last ones, are unlabelled images
    notes                          what a person should know about how they came about
    shared_patients                patients that stand in more than one split, allowed by the caller
    """

    normal: list[Row]
    unlabelled: list[Row]
    abnormal: list[Row]
    validation: list[Row]
    calibration: list[Row]
    notes: list[str]
    shared_patients: list[str]
    auxiliary: list[Row] = field(default_factory=list)
    taken_for_normal: int = 0

    def __repr__(self) -> str:
        parts = ("normal", "unlabelled", "abnormal", "validation", "calibration")
        return f"<Cohorts: {', '.join(f'{len(getattr(self, name)):,} {name}' for name in parts)}>"


def build_cohorts(
    manifest: Manifest,
    settings: CohortSettings,
    seed: int,
    *,
    allow_shared_patients: bool = False,
    auxiliary: Manifest | None = None,
    without_normals: bool = False,
) -> Cohorts:
    """The cohorts of a manifest under a recipe's settings, the same for the same seed.

    Only rows of the split `train` are used, and normals of the split `validation`, which join the
    cohort of that name and count towards its share. A patient of a held-out cohort has no image in
    another cohort. Rows without a patient id count as their study's, or each as its own patient. Rows of an
    unlabelled pool (see `unlabelled.in_pool`) may join `unlabelled` and nothing else. `auxiliary` lists the
    auxiliary images (see `auxiliary.read_auxiliary`). `without_normals`: the detector learns from no normal,
    so there may be none among the training rows, and then none is held out of them.

    Raises UserError where the manifest has no split, where a patient stands in two splits (unless
    allowed, and then listed), or where there are too few patients or images for what is asked.
    """
    whole, manifest = manifest, manifest.where(*settings.where)
    if settings.fold is not None:
        whole, manifest = whole.with_fold(settings.fold), manifest.with_fold(settings.fold)
    name = manifest.source or "manifest"
    if not any(row.split for row in manifest.rows):
        raise UserError(f"{name}: no row has a split; run `secondread split {name} -o FILE` first")
    shared = patients_in_several_splits(manifest.rows)
    if shared and not allow_shared_patients:
        raise UserError(
            f"{name}: {count(len(shared), 'patient')} in more than one split: {few(shared, 10)}; split by "
            "patient with `secondread split`, or pass --allow-shared-patients, which reports will say"
        )

    notes = _notes_on_patients(manifest.rows)
    pool = [row for row in manifest.rows if in_pool(row)]
    train = [row for row in manifest.rows if row.split == "train" and not in_pool(row)]
    given = [row for row in manifest.rows if row.split == "validation" and row.label == "normal"]
    normals = [row for row in train if row.label == "normal"]
    if not normals and not without_normals:
        raise UserError(_nothing_to_learn_from(name, manifest.rows, train, pool))

    validation_patients, calibration_patients = set[str](), set[str]()
    if normals:
        validation_patients, calibration_patients = _held_out(normals, given, settings, seed, name)
    else:
        notes.append(
            "no training row has label normal: no p-value, flag or false-alarm rate comes of this fit before "
            "`secondread calibrate` is given normals"
        )
    held_out = validation_patients | calibration_patients
    validation = given + [row for row in normals if patient_of(row) in validation_patients]
    calibration = [row for row in normals if patient_of(row) in calibration_patients]
    others = [row for row in train if row.label != "normal"] + pool
    away = [row for row in others if patient_of(row) in held_out]
    if away:
        is_used = "image of held-out patients is" if len(away) == 1 else "images of held-out patients are"
        notes.append(f"{len(away)} abnormal or unlabelled {is_used} used nowhere")

    learn = [row for row in train if patient_of(row) not in held_out]
    free_pool = [row for row in pool if patient_of(row) not in held_out]
    normal = [row for row in learn if row.label == "normal"]
    abnormal = _labelled(learn, settings, seed, name)
    if settings.anomaly_rate is None:
        rows = [row for row in learn if not row.label] + with_labels_hidden(free_pool)
        unlabelled = _capped(rows, settings.unlabelled, seed)
    else:
        if pool:
            allowed = [row for row in free_pool if may_be_unlabelled(row, settings)]
            mixed, told = mixture_of_pool(allowed, settings, seed, name)
            notes += told
        else:
            chosen = {row.path for row in abnormal}
            free = [row for row in learn if row.path not in chosen and may_be_unlabelled(row, settings)]
            rest = [row for row in free if row.label == "abnormal"]
            normal, mixed = mixture_of_training_rows(normal, rest, settings, seed, name)
        unlabelled = with_labels_hidden(mixed)
        if left_out := sum(not row.label for row in learn + free_pool):
            notes.append(f"{left_out} images without a label are left out, as unlabelled is made")
        of = f"images of the pool ({settings.pool_draw})" if pool else "labelled images"
        notes.append(
            f"unlabelled is made from {len(mixed)} {of} with labels hidden, "
            f"{sum(row.label == 'abnormal' for row in mixed)} of them abnormal"
        )
    used = {row.path for row in (*abnormal, *unlabelled)}
    unused = [row for row in learn if row.label == "abnormal" and row.path not in used]
    normal = _capped(normal, settings.max_normal, seed)
    normal, planted = contaminated(normal, unused, settings, seed, name)
    joining = taken_for_normal(unlabelled, settings, name)
    if joining:
        notes.append(
            f"normal holds {len(joining)} unlabelled images, taken for normal (cohorts.unlabelled_as)"
        )
        normal, unlabelled = normal + joining, []
    elsewhere: list[Row] = []
    apart: list[str] = []
    if auxiliary is not None:
        elsewhere, apart = auxiliary_rows(auxiliary, whole, validation + calibration)
    return Cohorts(
        normal=normal,
        unlabelled=unlabelled,
        abnormal=abnormal,
        validation=validation,
        calibration=calibration,
        notes=notes + planted + apart,
        shared_patients=shared,
        auxiliary=elsewhere,
        taken_for_normal=len(joining),
    )


def patients_in_several_splits(rows: Iterable[Row]) -> list[str]:
    """The patients (or studies, or files of several volumes, where ids are missing) that stand in more than
    one split, sorted.
    """
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.split and not counts_alone(row):
            splits[patient_of(row)].add(row.split)
    return sorted(who.partition(" ")[2] for who, where in splits.items() if len(where) > 1)


def _held_out(
    normals: Sequence[Row], given: Sequence[Row], settings: CohortSettings, seed: int, name: str
) -> tuple[set[str], set[str]]:
    """Which training patients go to validation and to calibration."""
    given_patients = {patient_of(row) for row in given}
    patients = sorted({patient_of(row) for row in normals} - given_patients)
    total = len(patients) + len(given_patients)
    n_validation = _share(total, settings.validation, already=len(given_patients))
    n_calibration = _share(total, settings.calibration)
    if n_validation + n_calibration >= len(patients):
        raise UserError(
            f"{name}: {len(patients)} training patients with normal images are too few to hold out "
            f"{n_validation} for validation and {n_calibration} for calibration and still learn; "
            "add normals or lower cohorts.validation and cohorts.calibration"
        )
    order = np.random.default_rng([seed, 0]).permutation(len(patients))
    chosen = [patients[i] for i in order[: n_validation + n_calibration]]
    return set(chosen[:n_validation]), set(chosen[n_validation:])


def _share(total: int, share: float, already: int = 0) -> int:
    """How many more patients make the share of all; at least one, where a share is asked for."""
    wanted = max(1, round(share * total)) if share > 0 else 0
    return max(0, wanted - already)


def _labelled(rows: Sequence[Row], settings: CohortSettings, seed: int, name: str) -> list[Row]:
    """The few labelled abnormal images; a larger number keeps those that a smaller one had."""
    abnormal = [row for row in rows if row.label == "abnormal"]
    taken: dict[str, Row] = {}
    for finding, asked in settings.labelled.items():
        pool = [row for row in abnormal if finding == ANY_FINDING or finding in row.findings]
        free = [row for row in shuffled(pool, seed, 1) if row.path not in taken]
        count = max(1, len(free)) if asked == "all" else asked
        if len(free) < count:
            there = Counter(finding for row in abnormal for finding in row.findings)
            listed = ", ".join(f"{key} ({n})" for key, n in sorted(there.items())) or "none"
            raise UserError(
                f"{name}: cohorts.labelled asks for {asked} training images with finding {finding!r}, "
                f"but {len(free)} are there; findings: {listed}; {ANY_FINDING!r} draws from all"
            )
        taken.update((row.path, row) for row in free[:count])
    return list(taken.values())


def _capped(rows: list[Row], most: int | None, seed: int) -> list[Row]:
    return rows if most is None or len(rows) <= most else shuffled(rows, seed, 5)[:most]


def _notes_on_patients(rows: Sequence[Row]) -> list[str]:
    without = sum(map(counts_alone, rows))
    files = sum(patient_of(row).startswith("file ") for row in rows)
    studies = sum(not row.patient_id and bool(row.study_id) for row in rows)
    notes = []
    if without:
        notes.append(
            f"{without} of {len(rows)} images have no patient id: each counts as its own patient, so "
            "images of one person may stand on both sides"
        )
    if files:
        notes.append(f"{files} of {len(rows)} images have no patient id: their file counts as the patient")
    if studies:
        notes.append(f"{studies} of {len(rows)} images have no patient id: their study counts as the patient")
    return notes


def _nothing_to_learn_from(name: str, rows: Sequence[Row], train: Sequence[Row], pool: Sequence[Row]) -> str:
    """Why there is no normal to learn from, and how to have some."""
    but = " but those of the unlabelled pool" if pool else ""
    said = f"{name}: no row{but} has split train and label normal: there is nothing to learn from"
    elsewhere = sum(row.label == "normal" for row in rows)
    if not any(row.label for row in rows):
        return (
            f"{said}; no row has a label at all: write normal into the column label of those that are, let "
            "`secondread index --labels` take it from a table, or choose a method that learns from "
            "unlabelled images (`secondread recipes`)"
        )
    if elsewhere:
        return (
            f"{said}; {count(elsewhere, 'normal')} in other splits or pools: split anew with `secondread "
            f"split {name} -o FILE --again`, or change their column split"
        )
    return f"{said}; {count(len(train), 'training row')} with other labels: write normal into some"
