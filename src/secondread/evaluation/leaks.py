"""No image and no patient that the bundle saw may be evaluated."""

from __future__ import annotations

from secondread.bundles.seen import hash_patient
from secondread.errors import UserError
from secondread.evaluation.packed_cases import PackedCases
from secondread.readings.readings import Readings
from secondread.wording.lists import few


def refuse_seen(cases: PackedCases, readings: Readings) -> list[str]:
    """The patients shared by the fit and the test, which is empty unless the fit was allowed to share.

    Raises UserError naming the images (by the digests of their bytes or pixels, as scoring noted) or the
    patients (by keyed hash against `patients_seen` of run.json) that the bundle saw.
    """
    seen = [(at, cohort) for at, cohort in enumerate(cases.read("seen")) if cohort]
    if seen:
        names = few([f"{cases.paths[at]} ({cohort})" for at, cohort in seen], 8)
        raise UserError(
            f"{len(seen)} test image(s) were seen by the bundle and cannot be evaluated: {names}; "
            "take them out of the manifest's test rows, or fit again without them"
        )
    shared = shared_patients(cases, readings)
    if shared and not readings.run.allow_shared_patients:
        raise UserError(
            f"{len(shared)} test patient(s) were seen by the bundle: {few(shared, 8)}; "
            "split by patient and fit again, or fit with --allow-shared-patients, which every report prints"
        )
    return shared


def shared_patients(cases: PackedCases, readings: Readings) -> list[str]:
    """Test patients whose keyed hash is among those of the bundle, sorted."""
    recorded = readings.run.patients_seen
    if recorded is None:
        return []
    hashes = {hash for cohort in recorded.patients.values() for hash in cohort}
    return [patient for patient in sorted(cases.patients) if hash_patient(patient, recorded.key) in hashes]
