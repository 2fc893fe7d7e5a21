"""Where readings meet labels: test rows of a manifest joined with the readings of a run, nothing lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from secondread.cohorts.row import shared_file
from secondread.errors import UserError
from secondread.images.several_files import absolute
from secondread.readings.reading import Reading
from secondread.readings.readings import Readings
from secondread.readings.same_file import Known, compare_all
from secondread.wording.lists import few
from secondread.wording.short import Short

if TYPE_CHECKING:
    from secondread.cohorts.manifest import Manifest
    from secondread.cohorts.row import Row


@dataclass(frozen=True, repr=False)
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
    by_reference = {readings.reference(reading): reading for reading in readings.rows}
    by_path = {reading.path: reading for reading in readings.rows}
    by_file: set[str] = set()

    def find(row: Row) -> Reading | None:
        found = by_reference.get(absolute(manifest.reference(row)))
        if found is None:
            return by_path.get(row.path)
        by_file.add(found.path)
        return found

    refuse_other_images(
        readings,
        manifest,
        [(row, found, found.path in by_file) for row in test if (found := find(row)) is not None],
        workers=workers,
    )
    known = {found.path for row in rows if (found := find(row)) is not None}
    cases: list[Case] = []
    failures: list[Failure] = []
    unlabelled = 0
    matched = 0
    for row in test:
        reading = find(row)
        matched += reading is not None
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
        strangers=sum(reading.path not in known for reading in readings.rows),
        whole=whole,
    )


def refuse_other_images(
    readings: Readings, manifest: Manifest, joined: Sequence[tuple[Row, Reading, bool]], *, workers: int
) -> None:
    """Raises UserError where a reading is of another image than the row that it was joined with.

    joined  a row, its reading, and whether both name the same file. Then the file may have changed since; a
            reading that kept no fingerprint is believed. Else only the content can tell, and where no file
            is there to look at, the manifest must be the very one that was scored.
    """
    kept = readings.fingerprints
    looked_at = [
        (row, same_file, Known(manifest.reference(row), reading.digest, kept.get(reading.path, "")))
        for row, reading, same_file in joined
        if reading.digest and (not same_file or reading.path in kept)
    ]
    verdicts = compare_all([known for *_, known in looked_at], workers=workers)
    others = [row.path for (row, *_), verdict in zip(looked_at, verdicts, strict=True) if verdict == "other"]
    if others:
        raise UserError(
            f"{len(others)} of {len(joined)} test images are not those that were read: {few(others)}; they "
            f"have changed since, or {readings.directory} holds readings of other images: score these first"
        )
    elsewhere = [
        verdict for (_, same_file, _), verdict in zip(looked_at, verdicts, strict=True) if not same_file
    ]
    scored = readings.run.digests.manifest
    if elsewhere and "same" not in elsewhere and scored != manifest.digest:
        raise UserError(
            f"{readings.directory}: its readings are of images below {readings.base or 'another folder'}, "
            f"and none lies where {manifest.source or 'the manifest'} names the same paths, so nothing shows "
            "that they are the same; evaluate with the manifest that was scored"
        )


def _case(row: Row, reading: Reading, manifest: Manifest) -> Case:
    return Case(
        path=row.path,
        reference=manifest.reference(row),
        abnormal=row.label == "abnormal",
        reading=reading,
        findings=row.findings,
        patient=row.patient_id,
        study=row.study_id,
        mask=manifest.mask_reference(row),
        extra={key: value for key, value in row.extra.items() if value},
    )
