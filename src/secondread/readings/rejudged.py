"""A folder of readings as another threshold or calibration of its model has it; written whole or not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread import tables
from secondread.bundles.facts import Facts
from secondread.bundles.model_card import model_card
from secondread.bundles.operating_point import OperatingPoint, with_rate
from secondread.bundles.read_document import read_seen
from secondread.calibration.description import describe
from secondread.errors import DataError
from secondread.outputs.folders import RECORD
from secondread.outputs.run_record import now
from secondread.outputs.temporary import TemporaryFolder
from secondread.outputs.whole import cannot_write, whole_file
from secondread.readings.readings import Readings
from secondread.readings.rejudging import judged_again, refuse_other_model
from secondread.readings.score_record import RUN
from secondread.readings.streamed.beside_readings import patients_in
from secondread.readings.streamed.many_studies import many_studies
from secondread.readings.streamed.packed_readings import PackedReadings
from secondread.readings.streamed.packed_studies import PackedStudies
from secondread.readings.streamed.reading_blocks import FLAGGED, UNJUDGED
from secondread.readings.studies import STUDIES
from secondread.readings.table_reader import FACTS, lines_and_facts, read_facts
from secondread.readings.table_writer import READINGS
from secondread.strict.json_text import read_object

_NUMBERS = ("score", "p_value", "score_without_complexity")
_FLAG_CELLS = ("", "false", "true")
_AT_ONCE = 256


@dataclass(frozen=True)
class Flags:
    """How many are flagged now and would be, and how many flags change; None = none is judged."""

    before: int | None
    after: int | None
    changed: int

    @classmethod
    def of(cls, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Flags:
        """Of flags as `PackedReadings.flags` has them, one for each image or study."""
        return cls(_flagged(before), _flagged(after), int((before != after).sum()))


@dataclass(frozen=True)
class Rejudged:
    """The readings in `folder` as another operating point has them; nothing is written before `write`.

    rows, studies   with their new scores, p-values and flags
    point           of the bundle that judges
    """

    folder: Path
    point: OperatingPoint
    before: Readings
    rows: PackedReadings
    studies: PackedStudies
    _kept: TemporaryFolder

    @classmethod
    def of(cls, folder: Path, point: OperatingPoint) -> Rejudged:
        """Raises UserError where the readings are another model's, unfinished, or lack what scores are made
        of; DataError where they are damaged."""
        before = Readings.read(folder)
        refuse_other_model(folder, before.run, point)
        rows = judged_again(before.packed, point.calibration, folder / READINGS)
        kept = TemporaryFolder()
        patients = patients_in(folder)
        with many_studies(kept.path, point.calibration, len(rows)) as studies:
            scores = rows.numbers("score").data
            for path, study, score, error in zip(
                rows.paths, rows.studies, scores, rows.text("error"), strict=True
            ):
                if study:
                    studies.add(path, _cell(score), study, error, patients.get(path, ""))
            studies.write(kept.path / STUDIES, 0)
        return cls(folder, point, before, rows, PackedStudies.read(kept.path / STUDIES), kept)

    @property
    def image_flags(self) -> Flags:
        return Flags.of(self.before.packed.flags, self.rows.flags)

    @property
    def study_flags(self) -> Flags:
        """By the worst image of each, of all that are or were one."""
        before, now = self.before.studies, self.studies
        assert isinstance(before, PackedStudies)
        new = [path for path in now if path not in before]
        then = [before.flag(path) for path in before] + [UNJUDGED] * len(new)
        after = [now.flag(path) for path in chain(before, new)]
        return Flags.of(np.array(then, np.uint8), np.array(after, np.uint8))

    @property
    def scores_changed(self) -> int:
        """How many images have another score, because the bundle's calibration mixes parts otherwise."""
        before, now = self.before.packed.numbers("score"), self.rows.numbers("score")
        return int(((before != now) & ~(np.isnan(before) & np.isnan(now))).sum())

    @property
    def results(self) -> list[str]:
        """Names of the folders within that another command made of these readings, such as DICOM objects.
        They say what the readings said then: they are not copied, and whoever needs them makes them anew."""
        return sorted(path.name for path in self.folder.iterdir() if (path / RECORD).is_file())

    @cached_property
    def files(self) -> dict[str, Callable[[], Iterator[bytes]]]:
        """What is written anew, by name, each in pieces; `run.json` is the last."""
        found: dict[str, Callable[[], Iterator[bytes]]] = {READINGS: self._readings}
        if next(read_facts(self.folder / FACTS), None) is not None:
            found[FACTS] = self._facts
        if len(self.studies.rows):
            found[STUDIES] = self._studies
        record = self._record()
        return found | {RECORD: lambda: iter((record,))}

    def is_at(self, folder: Path) -> bool:
        """Whether the readings in a folder are as they would be written, but for the time."""
        if not (folder / RECORD).is_file():
            return False
        record = _record_of(folder)
        told = json.loads(b"".join(self.files[RECORD]()))
        same = all(record.get(name) == told.get(name) for name in ("digests", "calibration"))
        rest = {name: pieces for name, pieces in self.files.items() if name != RECORD}
        return same and all(
            (folder / name).is_file() and _holds(folder / name, pieces()) for name, pieces in rest.items()
        )

    def write_in_place(self) -> None:
        """Replace the files of the folder. All are on the disk before the first takes its place, and
        `run.json` comes last, so that after a kill in between the same command does it again. Raises
        UserError for a full disk, which leaves everything as it was."""
        try:
            with ExitStack() as stack:
                # entered last, left first: the record, which comes last in `files`, is opened first
                for name, pieces in reversed(self.files.items()):
                    file = stack.enter_context(whole_file(self.folder / name))
                    file.writelines(pieces())
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
        for name, pieces in self.files.items():
            with (folder / name).open("wb") as file:
                file.writelines(pieces())

    def _readings(self) -> Iterator[bytes]:
        """The table with other cells, and all else as it stands."""
        with (self.folder / READINGS).open(encoding="utf-8-sig", newline="") as file:
            lines = (cells for _, cells in tables.read(file))
            header = next(lines)
            yield tables.line(header).encode()
            place = {name: number for number, name in enumerate(header)}
            judged, failed, following = self._judged(place), self.rows.failed.tobytes(), 0
            while some := list(islice(lines, _AT_ONCE)):
                for line in some:
                    at = self._at(line[place["path"]], following)
                    following = at + 1
                    if not failed[at] and not line[place["error"]]:
                        for number, cell in judged:
                            line[number] = cell(at)
                yield tables.lines(list(zip(*some, strict=True))).encode()

    def _judged(self, place: Mapping[str, int]) -> list[tuple[int, Callable[[int], str]]]:
        """Where the cells stand that are judged, and what tells the cell of a reading by its number."""
        rows, flags = self.rows, self.rows.flags.tobytes()
        recall = read_seen(self.point.folder, self.point.document).recall()

        def number(name: str) -> Callable[[int], str]:
            column = rows.numbers(name).data
            return lambda at: _cell(column[at])

        def seen(at: int) -> str:
            known = (
                *rows.text("seen")[at].split(";"),
                *recall.cohorts(rows.text("digest")[at], "").split(";"),
            )
            return ";".join(dict.fromkeys(filter(None, known)))

        cells = {name: number(name) for name in _NUMBERS} | {
            "flagged": lambda at: _FLAG_CELLS[flags[at]],
            "seen": seen,
        }
        return [(place[name], cell) for name, cell in cells.items() if name in place]

    def _at(self, path: str, following: int) -> int:
        """The number of a path's reading, which is mostly the one that follows."""
        if following < len(self.rows) and self.rows.paths[following] == path:
            return following
        at = self.rows.find(path)
        assert at is not None
        return at

    def _studies(self) -> Iterator[bytes]:
        with (self._kept.path / STUDIES).open("rb") as file:
            yield from file

    def _facts(self) -> Iterator[bytes]:
        """With the digest of the bundle that judges, by which `score` knows the rows that hold."""
        now = _bundle_of(self.point.digest)
        for line, told in lines_and_facts(self.folder / FACTS):
            before = _bundle_of(told.get("bundle"))
            if not told.get("bundle"):
                yield line
            elif line.count(before) == 1:  # as `score` writes it, which spares writing all else anew
                yield line.replace(before, now)
            else:
                yield (json.dumps(told | {"bundle": self.point.digest}) + "\n").encode()

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


def _cell(value: float) -> str:
    """A number as it stands in a table; NaN is nothing."""
    return "" if value != value else repr(value)


def _bundle_of(digest: Any) -> bytes:
    """How `facts.jsonl` says the digest of a bundle."""
    return json.dumps({"bundle": digest}).encode()[1:-1]


def _flagged(flags: NDArray[np.uint8]) -> int | None:
    return int((flags == FLAGGED).sum()) if (flags != UNJUDGED).any() else None


def _holds(path: Path, pieces: Iterator[bytes]) -> bool:
    """Whether a file holds these bytes and no more."""
    with path.open("rb") as file:
        return all(file.read(len(piece)) == piece for piece in pieces) and not file.read(1)
