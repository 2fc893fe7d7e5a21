"""Ranked studies under the numbers of the archive: what `studies.csv` and a key map say together.

The list carries accession numbers and DICOM UIDs, and is as private as the key map.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from secondread import tables
from secondread.cohorts.listing.key_map import KeyMap, MappedStudy
from secondread.errors import UserError
from secondread.images.dicom.series import series_key
from secondread.outputs.folders import RECORD
from secondread.readings.score_record import ScoreRecord
from secondread.readings.studies import STUDIES
from secondread.readings.table_reader import each_rank
from secondread.texts import Texts
from secondread.wording.numbers import count

COLUMNS = (
    *("rank", "accession_number", "study_instance_uid", "series_instance_uid", "score", "p_value", "flagged"),
    *("images", "failed", "study_id", "worst_image", "error"),
)


@dataclass(frozen=True)
class Worklist:
    """lines: the table, CSV, the highest score first. notes: on studies that are not in the map, or twice."""

    lines: Texts
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
    lines, lost, shared = Texts([tables.line(COLUMNS)]), 0, 0
    for row in each_rank(folder / STUDIES):
        found = known.of(row["study_id"])
        lost, shared = lost + (not found), shared + (len(found) > 1)
        cells = _cells(row, found)
        lines.append(tables.line(cells[name] for name in COLUMNS))
    studies = len(lines) - 1
    if lost == studies:
        raise UserError(
            f"{key_map}: knows none of the {count(lost, 'study', 'studies')} of {folder}; give the key map "
            "that was written with their manifest"
        )
    notes = []
    if lost:
        notes.append(f"{count(lost, 'study', 'studies')} of {studies} are not in the key map")
    if shared:
        notes.append(
            f"{count(shared, 'study', 'studies')} have a Study Instance UID that several patients have: all "
            "their numbers stand in the row, separated by ;"
        )
    return Worklist(lines, studies, tuple(notes))


def _cells(row: dict[str, str], found: Sequence[MappedStudy]) -> dict[str, str]:
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
