"""Ranked studies under the numbers of the archive: what `studies.csv` and a key map say together.

The list carries accession numbers and DICOM UIDs, and is as private as the key map.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from secondread import tables
from secondread.cohorts.listing.key_map import KeyMap, MappedStudy
from secondread.errors import UserError
from secondread.images.dicom.series import series_key
from secondread.outputs.folders import RECORD
from secondread.readings.score_record import ScoreRecord
from secondread.readings.studies import STUDIES
from secondread.readings.table_reader import read_ranks
from secondread.wording.numbers import count

COLUMNS = (
    *("rank", "accession_number", "study_instance_uid", "series_instance_uid", "score", "p_value", "flagged"),
    *("images", "failed", "study_id", "worst_image", "error"),
)


@dataclass(frozen=True)
class Worklist:
    """table: CSV, the highest score first. notes: on studies that are not in the map, or twice."""

    table: str
    studies: int
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Worklist of {count(self.studies, 'study', 'studies')}>"


def worklist(folder: Path, key_map: Path) -> Worklist:
    """The studies of a folder of readings, each with what the key map says of it.

    series_instance_uid is that of the study's most abnormal image, where that is a whole series. Raises
    UserError where the readings have no studies, or the map is of another key or knows none of them.
    """
    if not (folder / STUDIES).is_file():
        raise UserError(
            f"{folder}: holds no {STUDIES}; give the folder that `secondread score` wrote, of images with "
            "study ids"
        )
    known = KeyMap.read(key_map)
    mark = ScoreRecord.read(folder / RECORD).key_mark
    if mark is not None and known.key_mark not in (None, mark):
        raise UserError(
            f"{key_map}: was made under another key than the study ids of {folder}; give the key map that "
            "was written with them"
        )
    by_id: dict[str, list[MappedStudy]] = defaultdict(list)
    for study in known.studies:
        by_id[study.study_id].append(study)
    rows = read_ranks(folder / STUDIES)
    lost = sum(row["study_id"] not in by_id for row in rows)
    if lost == len(rows):
        raise UserError(f"{key_map}: knows none of the {count(lost, 'study', 'studies')} of {folder}")
    shared = sum(len(by_id.get(row["study_id"], ())) > 1 for row in rows)
    notes = []
    if lost:
        notes.append(f"{count(lost, 'study', 'studies')} of {len(rows)} are not in the key map")
    if shared:
        notes.append(
            f"{count(shared, 'study', 'studies')} have a Study Instance UID that several patients have: all "
            "their numbers stand in the row, separated by ;"
        )
    lines = [[cell[name] for name in COLUMNS] for cell in (_cells(row, by_id) for row in rows)]
    return Worklist(tables.table([COLUMNS, *lines]), len(rows), tuple(notes))


def _cells(row: dict[str, str], by_id: dict[str, list[MappedStudy]]) -> dict[str, str]:
    found = by_id.get(row["study_id"], [])
    key = row["worst_image"].rpartition("#")[2]
    series = [uid for study in found for uid in study.series_instance_uids if series_key(uid) == key]
    cells = {name: row.get(name, "") for name in COLUMNS}
    return cells | {
        "accession_number": _each(study.accession_number for study in found),
        "study_instance_uid": _each(study.study_instance_uid for study in found),
        "series_instance_uid": _each(series),
    }


def _each(values: Iterable[str]) -> str:
    return ";".join(dict.fromkeys(filter(None, values)))
