"""The readings of all shards as one table, in the manifest's order, and the studies among them.

Shards are read one after the other, so one shard's rows are held at a time; maps stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from secondread import tables
from secondread.bundles.fitted_model import FittedModel
from secondread.cohorts.sequences import PLACES
from secondread.cohorts.shards import Shard
from secondread.errors import DataError
from secondread.outputs.whole import cannot_write, whole_file
from secondread.readings.archive.shards import shard_folder
from secondread.readings.folder_state import hashed_patient
from secondread.readings.reading import Reading
from secondread.readings.streamed.many_studies import many_studies
from secondread.readings.streamed.totals import HIGHEST, Totals
from secondread.readings.studies import STUDIES, StudyReading
from secondread.readings.table_reader import SHARDS
from secondread.readings.table_writer import READINGS, has_places


@dataclass(frozen=True)
class Gathered:
    """images and what became of them; `failed` as a run tells them, without a score."""

    images: int
    failed: tuple[tuple[str, str], ...]
    flagged: int | None
    highest: tuple[StudyReading | Reading, ...]


def gather_shards(out: Path, shards: Iterable[Shard], bundle: FittedModel, images: int) -> Gathered:
    """Write `readings.csv` and `studies.csv` of all shards. A shard's rows that the manifest no longer has
    are left out.

    Raises DataError where a row of the manifest has no reading, and UserError for a full disk.
    """
    names: list[str] = []
    try:
        with (
            many_studies(out, bundle.calibration, images) as studies,
            whole_file(out / READINGS) as table,
        ):
            places = any(has_places(folder) for folder in (out / SHARDS).iterdir())
            told = Totals()
            for shard in shards:
                header, lines = _table_of(shard, out)
                if not names:
                    names = _with_places(header) if places else header
                    table.write(tables.line(names).encode())
                at = {name: place for place, name in enumerate(header)}
                study, score, flagged, error = map(at.__getitem__, ("study_id", "score", "flagged", "error"))
                for row, cells in zip(shard.rows, lines, strict=True):
                    reading = Reading(
                        row.path,
                        study_id=cells[study],
                        score=float(cells[score]) if cells[score] else None,
                        flagged=cells[flagged] == "true" if cells[flagged] else None,
                        error=cells[error],
                    )
                    told.add(reading)
                    patient = hashed_patient(row.patient_id, bundle)
                    studies.add(row.path, cells[score], reading.study_id, reading.error, patient)
                columns = list(zip(*lines, strict=True))
                nothing = ("",) * len(lines)
                table.write(
                    tables.lines([columns[at[name]] if name in at else nothing for name in names]).encode()
                )
            highest = studies.write(out / STUDIES, HIGHEST)
    except OSError as error:
        raise cannot_write(Path(error.filename or out), error) from error
    return Gathered(told.images, tuple(told.failed), told.flagged, highest or tuple(told.highest))


def _table_of(shard: Shard, out: Path) -> tuple[list[str], list[list[str]]]:
    """The columns of a shard's table, and the cells of each of its rows; maps as the whole names them."""
    folder = shard_folder(out, shard)
    with (folder / READINGS).open(encoding="utf-8", newline="") as file:
        read = (cells for _, cells in tables.read(file))
        header = next(read, [])
        rows = {cells[0]: cells for cells in read if len(cells) == len(header)}
    lines = []
    for row in shard.rows:
        if (cells := rows.get(row.path)) is None:
            raise DataError(f"{folder}: has no reading of {row.path}; run the same `score` again")
        lines.append(cells)
    if "map" in header:
        at = header.index("map")
        for cells in lines:
            if cells[at]:
                cells[at] = f"{SHARDS}/{folder.name}/{cells[at]}"
    return header, lines


def _with_places(header: list[str]) -> list[str]:
    if set(PLACES) <= set(header):
        return header
    at = header.index("score")
    return [*header[:at], *PLACES, *header[at:]]
