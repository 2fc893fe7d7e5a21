"""Scoring into a folder: readings row by row, maps, studies, and a record of the run."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.bundles.fitted_model import FittedModel
from secondread.cohorts.listing.identities import no_stray_key
from secondread.cohorts.listing.key_map import refuse_place, write_key_map
from secondread.detectors.trivial import column_of
from secondread.errors import UserError
from secondread.outputs.folders import RECORD, output_folder
from secondread.outputs.run_record import RunRecord
from secondread.outputs.whole import cannot_write, write_whole
from secondread.preprocessing.cache.limit import settle
from secondread.preprocessing.cache.place import cache_facts, default_cache_directory
from secondread.readings.folder_state import (
    earlier_run,
    hashed_patient,
    record_of,
    refuse_other_readings,
)
from secondread.readings.inputs import Inputs, Item, Source, gather
from secondread.readings.pipeline import Prepare, Refuse, default_workers, read_items
from secondread.readings.reading import Reading
from secondread.readings.readings import rows_of
from secondread.readings.row_writer import RowWriter
from secondread.readings.same_file import Files, Known
from secondread.readings.score_record import ScoreRecord
from secondread.readings.studies import STUDIES, StudyReading, ranked, read_studies, studies_table
from secondread.readings.table_reader import SHARDS, hashed_patients
from secondread.readings.table_writer import READINGS, Columns, Kept, ReadingsTable, has_places
from secondread.wording.short import Short

if TYPE_CHECKING:
    from secondread.preprocessing.cache.cache import Cache

HIGHEST = 3
"""How many of the highest scores a run names at its end."""


@dataclass(frozen=True, repr=False)
class ScoreSummary(Short):
    """What a run did.

    readings  the table's path
    scored    images that this run gave a score; `earlier` had one before
    failed    images without a score, with the reason, in the table's order
    notes     what a person should know of the manifest's columns
    flagged   of all images in the table; None where none was judged
    highest   the studies with the highest scores, or where none has an id the images, as `studies.csv` ranks
    """

    readings: Path
    scored: int
    earlier: int
    failed: tuple[tuple[str, str], ...]
    flagged: int | None
    set_apart: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    highest: tuple[StudyReading | Reading, ...] = ()

    @property
    def nothing_readable(self) -> bool:
        return self.scored + self.earlier == 0


def score_into(
    bundle: FittedModel,
    inputs: Source | Sequence[Source],
    out: str | Path,
    *,
    maps: bool = False,
    workers: int | None = None,
    batch_size: int | None = None,
    resume: bool = True,
    where: Sequence[str] = (),
    cache: Cache | None = None,
    key: str | Path | None = None,
    key_map: str | Path | None = None,
    every: int = 1,
    folders_as_sequences: bool = False,
    timeout_s: float = 60.0,
    command: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> ScoreSummary:
    """Score images into the folder `out`; what an earlier run of the same bundle wrote there is kept.

    maps       also write heat maps on each input's own grid
    resume     skip images that have a reading; False = refuse a folder that has readings
    key        file with the key under which patient and study ids of DICOM folders are hashed; without one
               it is `readings.csv.key` in `out`, made where it is needed and missing
    key_map    a private table, apart from `out`, to which the studies behind the hashed ids are added before
               the first image is read (see `cohorts.listing.key_map`)
    every, folders_as_sequences   how clips and folders of frames are read (see `inputs.gather`)
    timeout_s  longest time to decode one file
    command    what the person typed, for `run.json`
    progress   called with images done and images in all

    An image whose file has changed since its reading is read again: the content's digest decides.

    Raises UserError for wrong inputs, for a folder with another bundle's readings or another command's
    output, while another run is at work there, and for a full disk; a file that cannot be read, or a map that
    cannot be written, is a row with an error.
    """
    out = Path(out)
    workers = default_workers() if workers is None else workers
    if key_map is not None:
        refuse_place(
            Path(key_map), out, default_cache_directory(), None if cache is None else cache.directory
        )
    with output_folder(out, "score"):
        if (out / SHARDS).is_dir():
            raise UserError(
                f"{out}: holds readings in shards; go on with --ray or --shard-rows, or choose another "
                "folder with -o"
            )
        if not resume and (out / READINGS).is_file():
            raise UserError(f"{out}: there are readings already; choose another folder with -o")
        with no_stray_key(out / READINGS):
            found = gather(
                inputs, where=where, workers=workers, key=key, key_beside=out / READINGS,
                rank=bundle.rank, every=every, folders_as_sequences=folders_as_sequences,
                with_studies=key_map is not None,
            )  # fmt: skip
            refuse_other_readings(out, bundle, found)
            if key_map is not None:
                found = _mapped(found, Path(key_map))
        if maps and (none := no_maps(bundle)):
            found = replace(found, notes=(*found.notes, none))
        run = _Run(
            bundle=bundle, inputs=found, out=out, record=RunRecord("score", command),
            maps=maps and not no_maps(bundle), workers=workers, batch_size=batch_size,
            cache=cache, timeout_s=timeout_s, progress=progress,
        )  # fmt: skip
        return _done(run)


def score_gathered(
    bundle: FittedModel,
    inputs: Inputs,
    out: Path,
    *,
    prepare: Prepare,
    refuse: Refuse | None = None,
    maps: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ScoreSummary:
    """`score_into` for images that are known already and a process that stays (see `pipeline.read_items`).

    Raises UserError as `score_into` does.
    """
    with output_folder(out, "score"):
        refuse_other_readings(out, bundle, inputs)
        run = _Run(
            bundle=bundle, inputs=inputs, out=out, record=RunRecord("score", ()),
            maps=maps and not no_maps(bundle), workers=0, batch_size=None,
            cache=None, timeout_s=0.0, progress=progress, prepare=prepare, refuse=refuse,
        )  # fmt: skip
        return _done(run)


def _done(run: _Run) -> ScoreSummary:
    try:
        return run.do()
    except OSError as error:
        raise cannot_write(Path(error.filename or run.out), error) from error


def _mapped(found: Inputs, key_map: Path) -> Inputs:
    """The inputs, once their studies stand in the key map. Raises UserError where none says whose it is."""
    if not found.studies:
        raise UserError(
            f"{key_map}: no study of these inputs was listed from DICOM headers, so there is nothing to map; "
            "give the DICOM folder, or write the map where the manifest is made, with `index --key-map`"
        )
    return replace(found, notes=(*found.notes, *write_key_map(key_map, found.studies, found.key_mark)))


def _highest(studies: Sequence[StudyReading], rows: Sequence[Reading]) -> tuple[StudyReading | Reading, ...]:
    if studies:
        return tuple(study for study in ranked(studies)[:HIGHEST] if study.score is not None)
    scored = (row for row in rows if row.score is not None)
    return tuple(heapq.nsmallest(HIGHEST, scored, key=lambda row: (-(row.score or 0.0), row.path)))


def no_maps(bundle: FittedModel) -> str:
    """What to tell whoever asks for maps that the bundle's detector has not; empty where it has them."""
    if bundle.calibration.maps is not None:
        return ""
    name = bundle.recipe.detector["name"]
    return f"no maps are written: the detector {name} gives a score for each image and no map"


@dataclass(kw_only=True)
class Filling:
    """The images of one folder's table read into it, row by row; the folder is held for this run."""

    bundle: FittedModel
    inputs: Inputs
    out: Path
    maps: bool
    workers: int
    batch_size: int | None
    cache: Cache | None
    timeout_s: float
    progress: Callable[[int, int], None] | None
    prepare: Prepare | None = None
    refuse: Refuse | None = None
    files: Files = field(default_factory=Files)

    def table(self, *, known: bool) -> ReadingsTable:
        """The folder's table, of which nothing is written yet.

        known  whether a row that says no bundle is this bundle's, since the folder's record says so

        Raises UserError where it has other columns.
        """
        columns = Columns(
            self.bundle.parts,
            tuple(column_of(name) for name in self.bundle.baselines),
            without_complexity=self.bundle.has_complexity,
            places=any(item.frame is not None for item in self.inputs.items) or has_places(self.out),
        )
        return ReadingsTable(
            self.out, columns, bundle=self.bundle.digest, holds=self.holds(known), with_maps=self.maps
        )

    def fill(self, table: ReadingsTable) -> int:
        """Read what the table lacks; how many images of this run got a score."""
        items = self.inputs.items
        for item in items:
            table.note(item.path, self.files.fingerprint(item.reference))
        with table:
            return self.read(table, [item for item in items if item.path not in table.done])

    @cached_property
    def patients(self) -> dict[str, str]:
        """What stands for each image's patient."""
        return {item.path: hashed_patient(item, self.bundle) for item in self.inputs.items}

    def holds(self, known: bool) -> Callable[[str, str, Kept], bool]:
        """Whether an earlier row is this bundle's reading of the file as it is now. A row of a file that is
        gone, or that this run does not ask for, stays."""
        references = {item.path: item.reference for item in self.inputs.items}

        def still(path: str, digest: str, kept: Kept) -> bool:
            if kept.bundle != self.bundle.digest and (kept.bundle or not known):
                return False
            if path not in references:
                return True
            one = Known(references[path], digest, kept.fingerprint)
            return self.files.compare(one) in ("same", "gone")

        return still

    def read(self, table: ReadingsTable, wanted: Sequence[Item]) -> int:
        """Read what is left, row by row; how many images got a score."""
        results = read_items(
            self.bundle,
            wanted,
            maps=self.maps,
            workers=self.workers,
            batch_size=self.batch_size,
            cache=self.cache,
            timeout_s=self.timeout_s,
            prepare=self.prepare,
            refuse=self.refuse,
        )
        fingerprints = {item.path: self.files.fingerprint(item.reference) for item in wanted}
        scored = 0
        try:
            with RowWriter(table, self.bundle, self.patients, fingerprints, self.progress) as writer:
                for result in results:
                    scored += result.reading.score is not None
                    writer.put(result)
        finally:
            table.finish()
        return scored


@dataclass(kw_only=True)
class _Run(Filling):
    """One run into a folder that is held for it, with its record and studies."""

    record: RunRecord

    def do(self) -> ScoreSummary:
        bundle, earlier = self.bundle, earlier_run(self.out)
        table = self.table(known=earlier is not None)
        told = record_of(bundle, self.inputs, earlier).model_dump(
            mode="json", exclude={"command", "started", "versions"}
        )
        self.record.write(self.out / RECORD, **told)
        scored = self.fill(table)
        rows = rows_of(self.out / READINGS, ScoreRecord.read(self.out / RECORD))
        studies = read_studies(rows, bundle.calibration, {**hashed_patients(self.out), **self.patients})
        if studies:
            write_whole(self.out / STUDIES, studies_table(studies).encode())
        failed = tuple((row.path, row.error) for row in rows if row.failed)
        if self.cache is not None:
            settle(self.cache)
        self.record.write(
            self.out / RECORD,
            finished=True,
            images=len(rows),
            failed=len(failed),
            set_apart=list(self.inputs.set_apart),
            notes=list(self.inputs.notes),
            cache=None if self.cache is None else cache_facts(self.cache),
        )
        judged = [row.flagged for row in rows if row.flagged is not None]
        return ScoreSummary(
            self.out / READINGS,
            scored,
            len(table.done),
            failed,
            sum(judged) if judged else None,
            self.inputs.set_apart,
            self.inputs.notes,
            _highest(studies, rows),
        )
