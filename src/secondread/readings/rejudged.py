"""A folder of readings as another threshold or calibration of its model has it; written whole or not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from secondread import tables
from secondread.bundles.facts import Facts
from secondread.bundles.model_card import model_card
from secondread.bundles.operating_point import OperatingPoint, with_rate
from secondread.bundles.read_document import read_seen
from secondread.calibration.description import describe
from secondread.errors import DataError
from secondread.outputs.folders import RECORD
from secondread.outputs.run_record import now
from secondread.outputs.whole import cannot_write, whole_file
from secondread.readings.reading import Reading, as_text
from secondread.readings.readings import Readings
from secondread.readings.rejudging import judged_again, refuse_other_model
from secondread.readings.score_record import RUN
from secondread.readings.studies import STUDIES, StudyReading, read_studies, studies_table
from secondread.readings.table_reader import FACTS, hashed_patients, read_facts
from secondread.readings.table_writer import READINGS
from secondread.strict.json_text import read_object


@dataclass(frozen=True)
class Flags:
    """How many are flagged now and would be, and how many flags change; None = none is judged."""

    before: int | None
    after: int | None
    changed: int

    @classmethod
    def of(cls, before: Sequence[bool | None], after: Sequence[bool | None]) -> Flags:
        changed = sum(one is not other for one, other in zip(before, after, strict=True))
        return cls(_flagged(before), _flagged(after), changed)


@dataclass(frozen=True)
class Rejudged:
    """The readings in `folder` as another operating point has them; nothing is written before `write`.

    rows, studies   with their new scores, p-values and flags
    point           of the bundle that judges
    """

    folder: Path
    point: OperatingPoint
    before: Readings
    rows: tuple[Reading, ...]
    studies: tuple[StudyReading, ...]

    @classmethod
    def of(cls, folder: Path, point: OperatingPoint) -> Rejudged:
        """Raises UserError where the readings are another model's, unfinished, or lack what scores are made
        of; DataError where they are damaged."""
        before = Readings.read(folder)
        refuse_other_model(folder, before.run, point)
        rows = tuple(judged_again(before.rows, point.calibration, folder / READINGS))
        studies = read_studies(rows, point.calibration, hashed_patients(folder))
        return cls(folder, point, before, rows, tuple(studies))

    @property
    def image_flags(self) -> Flags:
        return Flags.of([row.flagged for row in self.before.rows], [row.flagged for row in self.rows])

    @property
    def study_flags(self) -> Flags:
        now_flagged = {study.worst_image: study.flagged for study in self.studies if study.worst_image}
        worst = list(dict.fromkeys((*self.before.studies, *now_flagged)))
        then = [found.flagged if (found := self.before.studies.get(path)) else None for path in worst]
        return Flags.of(then, [now_flagged.get(path) for path in worst])

    @property
    def scores_changed(self) -> int:
        """How many images have another score, because the bundle's calibration mixes parts otherwise."""
        return sum(a.score != b.score for a, b in zip(self.before.rows, self.rows, strict=True))

    @property
    def results(self) -> list[str]:
        """Names of the folders within that another command made of these readings, such as DICOM objects.
        They say what the readings said then: they are not copied, and whoever needs them makes them anew."""
        return sorted(path.name for path in self.folder.iterdir() if (path / RECORD).is_file())

    @cached_property
    def files(self) -> dict[str, bytes]:
        """What is written anew, by name; `run.json` is the last."""
        found = {READINGS: self._readings(), FACTS: self._facts()}
        if self.studies:
            found[STUDIES] = studies_table(self.studies).encode()
        return {name: data for name, data in found.items() if data} | {RECORD: self._record()}

    def is_at(self, folder: Path) -> bool:
        """Whether the readings in a folder are as they would be written, but for the time."""
        if not (folder / RECORD).is_file():
            return False
        record = _record_of(folder)
        told = json.loads(self.files[RECORD])
        same = all(record.get(name) == told.get(name) for name in ("digests", "calibration"))
        rest = {name: data for name, data in self.files.items() if name != RECORD}
        return same and all(
            (folder / name).is_file() and (folder / name).read_bytes() == data for name, data in rest.items()
        )

    def write_in_place(self) -> None:
        """Replace the files of the folder. All are on the disk before the first takes its place, and
        `run.json` comes last, so that after a kill in between the same command does it again. Raises
        UserError for a full disk, which leaves everything as it was."""
        try:
            with ExitStack() as stack:
                # entered last, left first: the record, which comes last in `files`, is opened first
                for name, data in reversed(self.files.items()):
                    file = stack.enter_context(whole_file(self.folder / name))
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def write_into(self, folder: Path) -> None:
        """Write a copy of the folder, with the new files, into an empty one: maps, thumbnails and the key go
        along, `results` do not."""
        for path in self.folder.iterdir():
            if path.name.startswith(".") or path.name in (*self.files, *self.results):
                continue
            if path.is_dir():
                shutil.copytree(path, folder / path.name)
            else:
                shutil.copy2(path, folder / path.name)
        for name, data in self.files.items():
            (folder / name).write_bytes(data)

    def _readings(self) -> bytes:
        """The table with other cells, and all else as it stands."""
        header, *lines = tables.read_text((self.folder / READINGS).read_text(encoding="utf-8-sig"))
        place = {name: number for number, name in enumerate(header)}
        rows = {row.path: row for row in self.rows}
        seen = read_seen(self.point.folder, self.point.document).recall()
        for line in lines:
            row = rows[line[place["path"]]]
            if row.failed or line[place["error"]]:
                continue
            cells: dict[str, Any] = {"score": row.score, "p_value": row.p_value, "flagged": row.flagged}
            cells["score_without_complexity"] = row.score_without_complexity
            known = (*row.seen.split(";"), *seen.cohorts(row.digest, "").split(";"))
            cells["seen"] = ";".join(dict.fromkeys(filter(None, known)))
            for name, value in cells.items():
                if name in place:
                    line[place[name]] = as_text(value)
        return tables.table([header, *lines]).encode()

    def _facts(self) -> bytes:
        """With the digest of the bundle that judges, by which `score` knows the rows that hold."""
        digest = {"bundle": self.point.digest}
        lines = (line | digest if line.get("bundle") else line for line in read_facts(self.folder / FACTS))
        return "".join(json.dumps(line) + "\n" for line in lines).encode()

    def _record(self) -> bytes:
        point, record = self.point, _record_of(self.folder)
        calibration = point.calibration
        seen = read_seen(point.folder, point.document)
        document = point.document.model_copy(update={"files": {}})  # a card of readings says no size of files
        card = model_card(Facts.of(document, point.digest, calibration, seen))
        digests = record.get("digests") or {}
        flags = self.image_flags
        done = {
            "time": now(),
            "from": digests.get("bundle"),
            "bundle": point.digest,
            "false_alarm_rate": calibration.settings.false_alarm_rate,
            "images_flagged": flags.after,
            "images_changed": flags.changed,
        }
        record |= {
            "bundle": str(point.folder.absolute()),
            "digests": {**digests, "bundle": point.digest},
            "calibration": describe(calibration),
            "map_threshold": calibration.map_threshold,
            "recipe": with_rate(
                point.document.recipe,
                "calibration",
                {"false_alarm_rate": calibration.settings.false_alarm_rate},
            ),
            "provenance": point.document.provenance.model_dump(mode="json"),
            "left_out": point.document.left_out,
            "card": card.model_dump(mode="json"),
            "patients_seen": {"key": seen.key, "patients": seen.patients},
            "pixels_seen": bool(seen.pixels),
            "judged_again": [*(record.get("judged_again") or ()), done],
        }
        return json.dumps(record, indent=1, default=str).encode()


def _record_of(folder: Path) -> dict[str, Any]:
    return dict(read_object(folder / RECORD, DataError, "run the same `score` again", RUN))


def _flagged(flags: Sequence[bool | None]) -> int | None:
    judged = [flag for flag in flags if flag is not None]
    return sum(judged) if judged else None
