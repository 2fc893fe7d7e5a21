"""Where readings meet labels: test rows of a manifest joined with the readings of a run, nothing lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from secondread.cohorts.row import PackedRows
from secondread.errors import UserError
from secondread.evaluation.packed_cases import PackedCases
from secondread.readings.joining.joined import Finding, Joined, refuse_other_images
from secondread.readings.readings import Readings
from secondread.readings.streamed.packed_readings import PackedReadings
from secondread.wording.short import Short

if TYPE_CHECKING:
    from secondread.cohorts.manifest import Manifest


@dataclass(frozen=True)
class Failure:
    """A labelled test image without a score, and why."""

    path: str
    label: str
    reason: str
    study: str = ""


@dataclass(frozen=True, repr=False)
class Cases(Short):
    """What an evaluation is made from.

    cases       labelled test images with a score, in the manifest's order
    failures    labelled test images without one: the reader's reason, or that nobody scored them
    unlabelled  test rows without a label: left out, counted
    other_rows  rows of other splits: left out, counted
    strangers   readings that no row of the manifest names
    whole       the manifest names no split at all, so every row is a test row
    """

    cases: PackedCases
    failures: tuple[Failure, ...]
    unlabelled: int
    other_rows: int
    strangers: int
    whole: bool


def join(readings: Readings, manifest: Manifest, *, workers: int = 1) -> Cases:
    """Test rows with their readings: by the file that both name, else by the same path string, where the
    file is the one that was read.

    workers  processes that read images again whose digest no file's bytes can tell

    Raises UserError where no test row has a reading, and where a reading is of another image than its row.
    """
    rows, read = PackedRows.of(manifest.rows), PackedReadings.of(readings.rows)
    is_test = np.fromiter((split == "test" for split in rows.column("split")), bool, len(rows))
    whole = not any(rows.column("split"))
    test = np.arange(len(rows)) if whole else np.flatnonzero(is_test)
    if not len(test):
        raise UserError("the manifest has no row of split test; run `secondread split` or fill the column")
    paths, labels, studies = (rows.column(name) for name in ("path", "label", "study_id"))
    find = Finding(readings, read, manifest)
    joined = Joined(readings, read, manifest, paths)
    for at in test.tolist():
        joined.add(at, find(paths.made(at)), find.by_file)
    refuse_other_images(joined, workers=workers)
    numbers = np.array(joined.numbers, np.int64)
    known = np.zeros(len(read), bool)
    known[numbers[numbers >= 0]] = True
    for at in () if whole else np.flatnonzero(~is_test).tolist():
        if (number := find(paths.made(at))) >= 0:
            known[number] = True
    if not (numbers >= 0).any():
        raise UserError(
            f"none of the manifest's {len(test)} test rows has a reading in {readings.directory}; "
            f"score this manifest first (a row is {paths.made(int(test[0]))!r}, "
            f"a reading is {read.paths[0]!r})"
            if len(read)
            else f"{readings.directory}: the table of readings is empty; run `secondread score` first"
        )
    labelled = np.fromiter((bool(labels.made(at)) for at in test.tolist()), bool, len(test))
    scored = labelled & (numbers >= 0)
    scored[scored] = ~read.failed[numbers[scored]]
    without = np.flatnonzero(labelled & ~scored)
    failures = []
    for at, number in zip(test[without].tolist(), numbers[without].tolist(), strict=True):
        reason = "no reading: the run did not score it" if number < 0 else read.text("error")[number]
        failures.append(Failure(paths.made(at), labels.made(at), reason, studies.made(at)))
    return Cases(
        cases=PackedCases(rows, read, manifest.base, test[scored], numbers[scored]),
        failures=tuple(failures),
        unlabelled=int((~labelled).sum()),
        other_rows=len(rows) - len(test),
        strangers=int((~known).sum()),
        whole=whole,
    )
