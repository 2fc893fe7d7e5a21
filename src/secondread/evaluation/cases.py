"""Where readings meet labels: test rows of a manifest joined with the readings of a run, nothing lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from secondread.cohorts.row import shared_file
from secondread.errors import UserError
from secondread.evaluation.joined import Finding, Joined, refuse_other_images
from secondread.readings.reading import Reading
from secondread.readings.readings import Readings
from secondread.wording.short import Short

if TYPE_CHECKING:
    from secondread.cohorts.manifest import Manifest
    from secondread.cohorts.row import Row


@dataclass(frozen=True, slots=True, repr=False)
class Case(Short):
    """One labelled test image that has a score.

    group   who an interval resamples: the patient, else the study, else the shared file, else the image
    """

    path: str
    reference: str
    abnormal: bool
    reading: Reading
    findings: tuple[str, ...] = ()
    patient: str = ""
    study: str = ""
    mask: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def score(self) -> float:
        assert self.reading.score is not None
        return self.reading.score

    @property
    def group(self) -> str:
        return self.patient or self.study or shared_file(self.path) or self.path


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

    cases: tuple[Case, ...]
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
    rows = list(manifest.rows)
    whole = not any(row.split for row in rows)
    test = rows if whole else [row for row in rows if row.split == "test"]
    if not test:
        raise UserError("the manifest has no row of split test; run `secondread split` or fill the column")
    find = Finding(readings, manifest)
    joined = Joined(readings, manifest)
    for row in test:
        joined.add(row, find(row), find.by_file)
    refuse_other_images(joined, workers=workers)
    known = np.zeros(len(readings), bool)
    others = () if whole else (row for row in rows if row.split != "test")
    for number in chain(joined.numbers, map(find, others)):
        if number >= 0:
            known[number] = True
    cases: list[Case] = []
    failures: list[Failure] = []
    unlabelled = 0
    matched = 0
    for row, number in zip(test, joined.numbers, strict=True):
        reading = readings.rows[number] if number >= 0 and row.label else None
        matched += number >= 0
        if not row.label:
            unlabelled += 1
        elif reading is None:
            failures.append(
                Failure(row.path, row.label, "no reading: the run did not score it", row.study_id)
            )
        elif reading.failed:
            failures.append(Failure(row.path, row.label, reading.error, row.study_id))
        else:
            cases.append(_case(row, reading, manifest))
    if not matched:
        raise UserError(
            f"none of the manifest's {len(test)} test rows has a reading in {readings.directory}; "
            f"score this manifest first (a row is {test[0].path!r}, "
            f"a reading is {readings.rows[0].path!r})"
            if readings.rows
            else f"{readings.directory}: the table of readings is empty; run `secondread score` first"
        )
    return Cases(
        cases=tuple(cases),
        failures=tuple(failures),
        unlabelled=unlabelled,
        other_rows=len(rows) - len(test),
        strangers=int((~known).sum()),
        whole=whole,
    )


def _case(row: Row, reading: Reading, manifest: Manifest) -> Case:
    filled = {key: value for key, value in row.extra.items() if value}
    return Case(
        path=row.path,
        reference=manifest.reference(row),
        abnormal=row.label == "abnormal",
        reading=reading,
        findings=row.findings,
        patient=row.patient_id,
        study=row.study_id,
        mask=manifest.mask_reference(row),
        extra=filled if len(filled) < len(row.extra) else row.extra,
    )
