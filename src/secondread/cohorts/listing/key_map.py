"""The way back from hashed ids to the studies of an archive, for whoever holds the key: a private table.

    study_id              as manifests and readings have it
    study_instance_uid, accession_number, patient_id   as the headers have them
    series_instance_uids  of those series that are one image each, several separated by `;`
    key_mark              tells one key from another; empty where ids were kept as they are

One row for each study of one patient. Values that differ among a study's files stand together, separated by
`;`. The file is for its owner alone, and lies in no folder that people hand on.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from secondread import tables
from secondread.cohorts.listing.streamed.file_table import FileTable
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.images.header import Header
from secondread.outputs.folders import RECORD, made_by, refuse_no_folder
from secondread.outputs.lock import only_one
from secondread.outputs.whole import clear_leftovers, write_whole
from secondread.packed import Packed
from secondread.texts import Places, Texts
from secondread.wording.numbers import count

COLUMNS = (
    *("study_id", "study_instance_uid", "accession_number", "patient_id"),
    *("series_instance_uids", "key_mark"),
)
_WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class MappedStudy:
    """A study's hashed id, and what the headers of its files say."""

    study_id: str
    study_instance_uid: str
    accession_number: str
    patient_id: str
    series_instance_uids: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<MappedStudy {self.study_id[:20]}>"

    @property
    def of(self) -> tuple[str, str]:
        return self.study_id, self.patient_id

    def joined(self, other: MappedStudy) -> MappedStudy:
        """What both say of one study."""
        return replace(
            self,
            study_instance_uid=_together(self.study_instance_uid, other.study_instance_uid),
            accession_number=_together(self.accession_number, other.accession_number),
            series_instance_uids=tuple(
                dict.fromkeys((*self.series_instance_uids, *other.series_instance_uids))
            ),
        )


class KeyMap(Packed[MappedStudy]):
    """The studies of a key map as it lies on the disk, packed. `key_mark` is None where it has no row."""

    def __init__(self) -> None:
        self._columns = tuple(Texts() for _ in COLUMNS[:-1])
        self.key_mark: str | None = None

    def __repr__(self) -> str:
        return f"<KeyMap of {count(len(self), 'study', 'studies')}>"

    @classmethod
    def read(cls, path: Path) -> KeyMap:
        """Raises UserError where it is missing, is none, or is readable by others."""
        found = cls()
        try:
            if os.name == "posix" and path.stat().st_mode & 0o077:
                raise UserError(
                    f"{path}: other users may read or change this key map; run `chmod 600 {path}`"
                )
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = (cells for _, cells in tables.read(file))
                found._take(path, tuple(next(rows, ())), rows)
        except OSError as error:
            raise UserError(f"{path}: the key map cannot be read ({error.strerror})") from None
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path}: is no key map ({error})") from None
        return found

    def _take(self, path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        if header != COLUMNS:
            rows = ([],)
        for row in rows:
            if len(row) != len(COLUMNS):
                raise UserError(f"{path}: is no key map that `--key-map` of `index` or `score` wrote")
            if self.key_mark not in (None, row[-1]):
                raise UserError(f"{path}: its rows are of several keys, and it was changed by hand")
            self.key_mark = row[-1]
            for column, text in zip(self._columns, row[:-1], strict=True):
                column.append(text)

    def of(self, study_id: str) -> list[MappedStudy]:
        """The studies with this hashed id, of several patients where the archive gave one number twice."""
        places = self._places.of(study_id)
        return [found for at in places if (found := self[at]).study_id == study_id]

    @cached_property
    def _places(self) -> Places:
        return Places(self._columns[0])

    def __len__(self) -> int:
        return len(self._columns[0])

    def made(self, at: int) -> MappedStudy:
        study, uid, accession, patient, series = (column[at] for column in self._columns)
        return MappedStudy(study, uid, accession, patient, tuple(tables.parted(series)) if series else ())


def studies_of(
    rows: Iterable[Row], files: FileTable, passed_over: Callable[[str], bool]
) -> tuple[MappedStudy, ...]:
    """The studies of a manifest's rows, from the headers of DICOM files that were read to list them, but for
    those that are passed over."""

    def header_at(path: str) -> Header | None:
        header = None if passed_over(path) else files.get(path)
        return header if header is not None and header.kind == "dicom" else None

    found: dict[tuple[str, str], MappedStudy] = {}
    for row in rows:
        path = row.path.partition("|")[0]
        header, whole = header_at(path), False
        if header is None and "#" in path:
            file, _, member = path.partition("#")
            header = header_at(file)
            if header is None:
                header, whole = files.of_series_key(member), True
        if header is None or not row.study_id:
            continue
        series = (header.series_uid,) if whole and header.series_uid else ()
        one = MappedStudy(row.study_id, header.study_uid, header.accession, header.patient_id, series)
        found[one.of] = found[one.of].joined(one) if one.of in found else one
    return tuple(found.values())


def refuse_place(path: Path, *folders: Path | None) -> None:
    """Raises UserError where a key map may not lie at `path`: within one of `folders` or any command's own
    folder, which people hand on; or where there is another file, or a key map that others may read."""
    if path.suffix.lower() != ".csv":
        raise UserError(f"{path}: a key map is a table; give it a name that ends with .csv")
    refuse_no_folder(path)
    apart = "; a key map leads back to patients: choose a place apart from what is handed on"
    place = path.absolute().resolve()
    for folder in folders:
        if folder is not None and folder.absolute().resolve() in place.parents:
            raise UserError(f"{path}: lies in {folder}{apart}")
    for folder in place.parents:
        known = any((folder / name).is_file() for name in (RECORD, "bundle.json"))
        owner = made_by(folder) if known else None
        if owner not in (None, "demo"):
            raise UserError(f"{path}: lies in the output of `{owner}`{apart}")
    if path.exists():
        KeyMap.read(path)


def write_key_map(path: Path, studies: Sequence[MappedStudy], key_mark: str | None) -> list[str]:
    """Add studies to the key map at `path`, each once; notes on what headers do not say.

    Raises UserError where it is of another key, and for a full disk, which leaves it as it was.
    """
    mark = key_mark or ""
    with only_one(path, beside=True, wait_seconds=_WAIT_SECONDS):
        clear_leftovers(path)
        earlier = KeyMap.read(path) if path.exists() else KeyMap()
        if earlier.key_mark not in (None, mark):
            raise UserError(
                f"{path}: was made under another key (or with ids kept as they are); give that key with "
                "--key, or choose another --key-map"
            )
        found = {study.of: study for study in earlier}
        for study in studies:
            found[study.of] = found[study.of].joined(study) if study.of in found else study
        lines = [
            (
                *(study.study_id, study.study_instance_uid, study.accession_number, study.patient_id),
                *(tables.joined(study.series_instance_uids), mark),
            )
            for study in found.values()
        ]
        write_whole(path, tables.table([COLUMNS, *lines]).encode())
    now = {study.of: found[study.of] for study in studies}
    without = sum(not study.accession_number for study in now.values())
    if not without:
        return []
    of_all = count(len(now), "study", "studies")
    return [f"{without} of {of_all} in the key map have no accession number in their files"]


def _together(one: str, other: str) -> str:
    return ";".join(dict.fromkeys(filter(None, (*one.split(";"), *other.split(";")))))
