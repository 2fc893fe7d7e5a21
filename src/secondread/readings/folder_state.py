"""What a folder of readings says of the run that made it, and whether another run may go on there."""

from __future__ import annotations

from pathlib import Path

from secondread.bundles.fitted_model import FittedModel
from secondread.bundles.operating_point import lineage_of
from secondread.bundles.seen import hash_patient
from secondread.calibration.description import describe
from secondread.errors import DataError, UserError
from secondread.outputs.folders import RECORD
from secondread.readings.inputs import Inputs
from secondread.readings.score_record import ScoreRecord
from secondread.readings.table_reader import FACTS, read_facts
from secondread.readings.table_writer import READINGS
from secondread.wording.numbers import rate


def record_of(bundle: FittedModel, inputs: Inputs, earlier: ScoreRecord | None = None) -> ScoreRecord:
    """What evaluation and a later reader must know about a run that begins, where an earlier one may have
    been."""
    return ScoreRecord.model_validate(
        {
            "seed": bundle.provenance.seed,
            "bundle": str(bundle.path.absolute()) if bundle.path else None,
            "digests": {"bundle": bundle.digest, "manifest": inputs.manifest_digest},
            "manifest": inputs.manifest,
            "base": inputs.base,
            "key_mark": inputs.key_mark,
            "device": bundle.device,
            "calibration": describe(bundle.calibration),
            "map_scale": bundle.calibration.map_scale,
            "map_threshold": bundle.calibration.map_threshold,
            "recipe": bundle.recipe.model_dump(mode="json"),
            "provenance": bundle.provenance.model_dump(mode="json"),
            "patients_seen": {"key": bundle.seen.key, "patients": bundle.seen.patients},
            "pixels_seen": bool(bundle.seen.pixels),
            "left_out": bundle.left_out,
            "card": bundle.card,
            "allow_shared_patients": bundle.provenance.allow_shared_patients,
            "judged_again": () if earlier is None else earlier.judged_again,
            "finished": False,
        }
    )


def hashed_patient(patient_id: str, bundle: FittedModel) -> str:
    """What stands for a patient in a folder of readings: a hash under the bundle's own key, or empty."""
    return hash_patient(patient_id, bundle.seen.key) if patient_id else ""


def refuse_other_readings(out: Path, bundle: FittedModel, inputs: Inputs) -> None:
    """Raises UserError where `out` holds readings that this run may not be mixed with.

    Where `run.json` is missing or damaged, the rows themselves say which bundle read them.
    """
    if not (out / READINGS).is_file():
        return
    earlier = earlier_run(out)
    read_by = bundles_of(out) if earlier is None else {earlier.digests.bundle}
    if read_by - {bundle.digest}:
        ours = lineage_of(bundle.digest, bundle.provenance.recalibrated)
        if earlier is not None and ours & lineage_of(earlier.digests.bundle, earlier.provenance.recalibrated):
            raise UserError(f"{out}: holds readings of another bundle of this model; {_remedy(out, bundle)}")
        raise UserError(f"{out}: holds readings of another bundle; choose another folder with -o")
    if earlier is None:
        return
    told = None if earlier.calibration is None else earlier.calibration.false_alarm_rate
    if told is not None and told != bundle.calibration.settings.false_alarm_rate:
        raise UserError(
            f"{out}: its flags are for a false-alarm rate of {rate(told)}, and this bundle's for "
            f"{rate(bundle.calibration.settings.false_alarm_rate)}; {_remedy(out, bundle)}"
        )
    of_files = inputs.manifest is None and earlier.base is None
    if earlier.base != inputs.base and not of_files:
        raise UserError(f"{out}: holds readings of other inputs; choose another folder with -o")
    marks = {earlier.key_mark, inputs.key_mark} - {None}
    if len(marks) > 1:
        raise UserError(
            f"{out}: its study ids are hashed under another key; give that key with --key, "
            "or choose another folder with -o"
        )


def _remedy(out: Path, bundle: FittedModel) -> str:
    place = "BUNDLE" if bundle.path is None else bundle.path
    return (
        f"`secondread threshold {place} {out} -o {out} --force` judges them as this one does without reading "
        "an image, and then this command goes on; or choose another folder with -o"
    )


def bundles_of(out: Path) -> set[str]:
    """The digests of the bundles that rows of a folder say they were read by."""
    return {str(line["bundle"]) for line in read_facts(out / FACTS) if line.get("bundle")}


def earlier_run(out: Path) -> ScoreRecord | None:
    """What an earlier run recorded; None where that is missing or damaged."""
    try:
        return ScoreRecord.read(out / RECORD) if (out / RECORD).is_file() else None
    except DataError:
        return None
