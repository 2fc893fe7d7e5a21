"""Readings of a model judged again, by another threshold or calibration of that model: no image is read.

Scores are made anew from the raw parts that stand in the readings, as calibration mixes them, and p-values
and flags from the bundle's calibration scores. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from secondread.bundles.operating_point import OperatingPoint, lineage_of
from secondread.calibration.calibration import Calibration
from secondread.calibration.complexity import COMPLEXITY
from secondread.calibration.raw_scores import Floats, RawScores
from secondread.errors import DataError, UserError
from secondread.readings.score_record import ScoreRecord
from secondread.readings.streamed.packed_readings import PackedReadings
from secondread.readings.table_reader import SHARDS


def refuse_other_model(folder: Path, run: ScoreRecord, point: OperatingPoint) -> None:
    """Raises UserError where the readings are not of the bundle's model, or cannot be held against its
    calibration."""
    digest, before = run.digests.bundle, run.provenance
    if not digest:
        raise UserError(f"{folder}: its run.json is missing and so is its bundle's digest; score again")
    if not run.finished:
        raise UserError(f"{folder}: its run was not finished; run the same `score` again first")
    if not lineage_of(digest, before.recalibrated) & point.lineage:
        raise UserError(
            f"{folder}: holds readings of another model (bundle {digest[:12]}, and this one is "
            f"{point.digest[:12]}); give the bundle that read them, or one that `calibrate` or `threshold` "
            "made of it"
        )
    held = point.document.provenance
    then, here = (_precision(told.precision, told.recalibrated) for told in (before, held))
    if then != here:
        raise UserError(
            f"{folder}: its scores were computed in {then}, and this bundle's calibration in {here}; score "
            "the images again with this bundle"
        )
    processing = point.calibration.processing
    if (
        processing is not None
        and processing.settings.smallest > 1
        and run.map_threshold != point.calibration.map_threshold
        and any(path.is_dir() for path in (folder / "maps", *folder.glob(f"{SHARDS}/*/maps")))
    ):
        raise UserError(
            f"{folder}: its maps were cleaned of small components at another map threshold than this "
            "bundle's; score the images again with --maps"
        )


def _precision(fitted: str, recalibrated: Sequence[Mapping[str, str]]) -> str:
    """In which the scores are computed that calibrate a bundle (see `Bundle.precision`)."""
    told = (done["precision"] for done in reversed(recalibrated) if "precision" in done)
    return next(told, fitted) or "float32"


def judged_again(rows: PackedReadings, calibration: Calibration, table: Path) -> PackedReadings:
    """The readings with the scores, p-values and flags that a calibration gives them."""
    raw = _raw(rows, calibration, table)
    if raw is None:
        return rows
    scores = calibration.combine(raw)
    plain = calibration.combine_without_complexity(raw) if calibration.settings.complexity != "none" else None
    p_values = calibration.p_values(scores) if calibration.decides else None
    flags = calibration.flag(scores) if calibration.flags_images else None
    return rows.judged({"score": scores, "p_value": p_values, "score_without_complexity": plain}, flags)


def _raw(rows: PackedReadings, calibration: Calibration, table: Path) -> RawScores | None:
    """The parts of readings with a score, as the detector gave them; None without a reading. UserError where
    one that is mixed has no column, DataError where a cell is empty."""
    scored = ~rows.failed
    if not scored.any():
        return None
    active = calibration.adjusted or calibration.mixture
    needed = {name for name, scale in active.parts.items() if scale.weight != 0.0}
    needed |= {name for name, scale in calibration.mixture.parts.items() if scale.weight != 0.0}
    if calibration.settings.complexity != "none":
        needed.add(COMPLEXITY)
    parts: dict[str, Floats] = {}
    for name in sorted(needed):
        values = rows.numbers(f"part_{name}")
        missing = np.flatnonzero(np.isnan(values) & scored)
        if len(missing) == scored.sum():
            raise UserError(
                f"{table}: has no column part_{name}, of which scores are made; score the images again"
            )
        if len(missing):
            path = rows.paths[int(missing[0])]
            raise DataError(f"{table}: part_{name} is empty for {path}; run the same `score` again")
        parts[name] = values[scored]
    tails = {name: active.parts[name].tail if name in active.parts else "upper" for name in parts}
    return RawScores(parts, tails)
