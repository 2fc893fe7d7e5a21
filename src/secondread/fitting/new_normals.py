"""Normals for a new calibration: those that the model did not learn from, by patient and by content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secondread.bundles.seen import Seen, hash_patient
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.cohorts.unlabelled import in_pool
from secondread.errors import DataError, UserError
from secondread.metrics.realised_rate import patients_needed
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.prepared_set import PreparedSet, prepare_set
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.terminal.counting import counting
from secondread.terminal.say import say
from secondread.wording.lists import few, first_lines
from secondread.wording.numbers import count
from secondread.wording.numbers import rate as in_words

NOT_LEARNT_FROM = "calibration"
"""The cohort that a fit holds out from everything that learns."""


@dataclass(frozen=True)
class NewNormals:
    """Prepared images and the rows that were asked for, as `Scorer.gather` takes them.

    patients    ids that were left out, since the model learned from them
    copies      paths that were left out, since the model learned from these very images
    unreadable  how many could not be read
    """

    rows: list[Row]
    images: PreparedSet
    patients: list[str]
    copies: list[str]
    unreadable: int


def new_normals(
    manifest: Manifest,
    seen: Seen,
    preprocessing: Preprocessing,
    rate: float,
    *,
    cache: Cache,
    workers: int,
    shown: bool,
) -> NewNormals:
    """The manifest's rows with label normal, test rows and the unlabelled pool apart, without what the model
    learned from.

    Raises UserError where there is no such row, or where leaving out leaves fewer patients than the
    false-alarm rate needs; DataError where none can be read.
    """
    name = manifest.source or "the manifest"
    normals = [
        row for row in manifest.rows if row.label == "normal" and row.split != "test" and not in_pool(row)
    ]
    if not normals:
        raise UserError(f"{name}: no row outside split test has label normal, the unlabelled pool apart")
    patients = learnt_patients(normals, seen)
    rows = [row for row in normals if row.patient_id not in set(patients)]
    if patients:
        say(
            f"note: {count(len(normals) - len(rows), 'normal')} left out, as the model learned from their "
            f"patients: {few(patients)}",
            shown=shown,
        )

    def prepared(rows: Sequence[Row], shown: bool) -> PreparedSet:
        references = [manifest.reference(row) for row in rows]
        with counting("preparing normals", shown=shown, total=len(rows)) as note:
            return prepare_set(references, preprocessing, cache=cache, workers=workers, progress=note)

    images = prepared(rows, shown)
    errors = images.errors
    for line in first_lines("not read", errors, 5):
        say(line, shown=shown)
    if rows and not len(images):
        raise DataError(f"none of {count(len(rows), 'normal')} can be read; first: {errors[0]}")
    if errors:
        say(
            f"{len(errors):,} of {count(len(rows), 'normal')} cannot be read and are left out; "
            "`check` lists them",
            shown=shown,
        )
    at = learnt_images(images, seen)
    copies = sorted(rows[position].path for position in at)
    if copies:
        say(
            f"note: {count(len(copies), 'normal')} left out, as the model learned from these images: "
            f"{few(copies)}",
            shown=shown,
        )
        rows = [row for position, row in enumerate(rows) if position not in at]
        images = prepared(rows, shown=False)
    left = {rows[position].patient_id or rows[position].path for position in images.positions}
    if (patients or copies) and len(left) < patients_needed(rate):
        learnt = f"patients {few(patients)}" if patients else f"images {few(copies)}"
        raise UserError(
            f"{name}: the model learned from {learnt}; without them normals of {count(len(left), 'patient')} "
            f"are left, and a false-alarm rate of {in_words(rate)} needs {patients_needed(rate)}; add "
            "normals of others"
        )
    return NewNormals(rows, images, patients, copies, len(errors))


def learnt_patients(rows: Sequence[Row], seen: Seen) -> list[str]:
    """The patient ids among the rows that the model learned from, sorted."""
    learnt = {h for cohort, hashes in seen.patients.items() if cohort != NOT_LEARNT_FROM for h in hashes}
    return sorted(
        patient
        for patient in {row.patient_id for row in rows if row.patient_id}
        if hash_patient(patient, seen.key) in learnt
    )


def learnt_images(images: PreparedSet, seen: Seen) -> set[int]:
    """The positions of images that the model learned from, by their bytes or their pixels."""
    learnt = seen.recall(without=(NOT_LEARNT_FROM,))
    found = zip(images.positions, images.digests, images.contents, strict=True)
    return {position for position, digest, content in found if learnt.cohorts(digest, content)}
