"""The folder that results are written into, study by study, and its table of what lies where.

What is there already and says the same stays, so that the same command goes on where it stopped. A study of
which nothing can be made costs its lines in the table, and the rest goes on.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from secondread import tables
from secondread.errors import DataError, UserError
from secondread.outputs.folders import RECORD, output_folder
from secondread.outputs.run_record import RunRecord
from secondread.outputs.whole import write_whole
from secondread.readings.readings import Readings
from secondread.results.dicom.identity import Author
from secondread.results.dicom.studies import Group, grouped
from secondread.wording.short import Short

Format = Literal["dicom", "fhir"]
COLUMNS = ("path", "study_id", "result", "error")


@dataclass(frozen=True, repr=False)
class Written(Short):
    """What a run left in its folder.

    table    the path of the table of what lies where: each image, and the folder or file of its study
    studies  that this run wrote; `earlier` were there already
    failed   path of an image, and why it has no result, or what of it is missing
    """

    table: Path
    studies: int
    earlier: int
    failed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of one study: the name of its folder or file, whether this run wrote it, and of images that
    lack something path -> what."""

    result: str
    written: bool
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Line:
    path: str
    study_id: str
    result: str
    error: str = ""


def write_studies(
    readings: Readings,
    out: Path,
    to: Format,
    write: Callable[[Group, bool], Outcome],
    *,
    command: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Write each study of readings into `out`, held for this run, and then the table.

    write  makes the result of a study; told whether an earlier run's was complete, so that it may stay

    Raises UserError where there is no image, and where `out` is another command's; DataError where no image
    has a result.
    """
    if not len(readings):
        raise UserError(f"{readings.directory}: these readings have no image")
    table = f"{to}.csv"
    with output_folder(out, f"export --to {to}"):
        record = RunRecord("export", command)
        record.facts["made_by"] = f"export --to {to}"
        told = {"digests": {"bundle": readings.run.digests.bundle}, "readings": str(readings.directory)}
        record.write(out / RECORD, **told, finished=False)
        found = grouped(readings, others=to == "fhir")
        lacking = _lacking(out / table)
        lines = [_Line(row.path, row.study_id, "", why) for row, why in found.without]
        written = earlier = 0
        for group in found.groups:
            try:
                outcome = write(group, group.name not in lacking)
                lines += [_line(row.path, row.study_id, outcome) for row in group.rows]
                written, earlier = written + outcome.written, earlier + (not outcome.written)
            except DataError as error:
                lines += [_Line(row.path, row.study_id, "", str(error)) for row in group.rows]
            if progress is not None:
                progress(len(lines), len(readings))
        rows = [[line.path, line.study_id, line.result, line.error] for line in lines]
        write_whole(out / table, tables.table([COLUMNS, *rows]).encode())
        failed = tuple((line.path, line.error) for line in lines if line.error)
        record.write(out / RECORD, finished=True, studies=written + earlier, failed=len(failed))
    if not written + earlier:
        raise DataError(_nothing(failed))
    return Written(out / table, written, earlier, failed)


def author_of(readings: Readings) -> Author:
    """The author of readings; where their record does not say when they were made, it was when their table
    was last written."""
    table = readings.directory / "readings.csv"
    seconds = table.stat().st_mtime if table.is_file() else datetime.now(UTC).timestamp()
    return Author.of(readings.run, datetime.fromtimestamp(int(seconds), UTC))


def _line(path: str, study_id: str, outcome: Outcome) -> _Line:
    return _Line(path, study_id, outcome.result, " ".join(outcome.errors.get(path, "").split()))


def _lacking(table: Path) -> frozenset[str]:
    """The studies of an earlier run that lack something."""
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return frozenset()
    return frozenset(str(row.get("result")).partition(".")[0] for row in rows if row.get("error"))


def _nothing(failed: Sequence[tuple[str, str]]) -> str:
    path, why = failed[0]
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    first = why if path in why else f"{path}: {why}"
    return f"no image has a result; first: {first}{more}"
