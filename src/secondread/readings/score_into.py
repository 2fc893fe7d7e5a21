"""Scoring into a folder: readings row by row, maps, studies, and a record of the run."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.bundles.fitted_model import FittedModel
from secondread.cohorts.listing.identities import no_stray_key
from secondread.detectors.trivial import column_of
from secondread.errors import UserError
from secondread.outputs.folders import RECORD, output_folder
from secondread.outputs.run_record import RunRecord
from secondread.outputs.whole import cannot_write
from secondread.preprocessing.cache.cache import fingerprint_of
from secondread.preprocessing.cache.limit import settle
from secondread.preprocessing.cache.place import cache_facts, default_cache_directory
from secondread.readings.apart.judges import Judges, judging
from secondread.readings.folder_state import (
    earlier_run,
    hashed_patient,
    record_of,
    refuse_other_readings,
)
from secondread.readings.inputs import Inputs, Source, gather
from secondread.readings.joining.same_file import Files, Known
from secondread.readings.pipeline import Prepare, Refuse, default_workers, read_items
from secondread.readings.reading import Reading, as_text
from secondread.readings.readings import each_reading_of
from secondread.readings.row_writer import RowWriter
from secondread.readings.score_record import ScoreRecord
from secondread.readings.streamed.facts_file import FactsFile
from secondread.readings.streamed.items import Items
from secondread.readings.streamed.many_studies import many_studies
from secondread.readings.streamed.totals import HIGHEST, Totals
from secondread.readings.studies import STUDIES, StudyReading
from secondread.readings.table_reader import FACTS, SHARDS
from secondread.readings.table_writer import READINGS, Columns, Kept, ReadingsTable, has_places
from secondread.settings.arguments import checked
from secondread.texts import Texts
from secondread.wording.short import Short

if TYPE_CHECKING:
    from secondread.preprocessing.cache.cache import Cache


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


@checked
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
    processes: int = 1,
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
    processes  that compute; several share this process's threads, and take batches in turn
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
        from secondread.cohorts.listing.key_map import refuse_place

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
        with judging(bundle, processes) as run.judges:
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
    from secondread.cohorts.listing.key_map import write_key_map

    if not found.studies:
        raise UserError(
            f"{key_map}: no study of these inputs was listed from DICOM headers, so there is nothing to map; "
            "give the DICOM folder, or write the map where the manifest is made, with `index --key-map`"
        )
    return replace(found, notes=(*found.notes, *write_key_map(key_map, found.studies, found.key_mark)))


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
    judges: Judges | None = None
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
            places=self.items.some_frames or has_places(self.out),
        )
        return ReadingsTable(
            self.out,
            columns,
            bundle=self.bundle.digest,
            holds=self.holds(known),
            now=self.fingerprint,
            with_maps=self.maps,
        )

    @cached_property
    def items(self) -> Items:
        given = self.inputs.items
        return given if isinstance(given, Items) else Items(given)

    @cached_property
    def fingerprints(self) -> Texts:
        """Of each item's file before any is read, empty where nothing lies there."""
        return Texts(fingerprint_of(reference) or "" for reference in self.items.references)

    @cached_property
    def done(self) -> bytearray:
        """A flag for each item, set where an earlier run's reading holds."""
        return bytearray(len(self.items))

    def fingerprint(self, path: str) -> str | None:
        at = self.items.find(path)
        return None if at is None else self.fingerprints[at]

    def holds(self, known: bool) -> Callable[[str, str, Kept], bool]:
        """Whether an earlier row is this bundle's reading of the file as it is now. A row of a file that is
        gone, or that this run does not ask for, stays."""

        def still(path: str, digest: str, kept: Kept) -> bool:
            if kept.bundle != self.bundle.digest and (kept.bundle or not known):
                return False
            if (at := self.items.find(path)) is None:
                return True
            one = Known(self.items.references[at], digest, kept.fingerprint)
            if self.files.compare(one, self.fingerprints[at]) not in ("same", "gone"):
                return False
            self.done[at] = True
            return True

        return still

    def fill(self, table: ReadingsTable) -> int:
        """Read what the table lacks, row by row; how many images of this run got a score."""
        left = array("Q", (at for at, done in enumerate(self.done) if not done))
        wanted = self.items if len(left) == len(self.items) else Items(self.items[at] for at in left)
        fingerprints = self.fingerprints
        with table:
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
                judges=self.judges,
            )
            scored = 0
            try:
                with RowWriter(table, self.bundle, len(self.items), self.progress) as writer:
                    for at, patient, result in zip(left, wanted.patients, results, strict=True):
                        scored += result.reading.score is not None
                        writer.put(result, hashed_patient(patient, self.bundle), fingerprints[at])
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
        totals, highest = self.gathered(table)
        if self.cache is not None:
            settle(self.cache)
        self.record.write(
            self.out / RECORD,
            finished=True,
            images=totals.images,
            failed=len(totals.failed),
            set_apart=list(self.inputs.set_apart),
            notes=list(self.inputs.notes),
            cache=None if self.cache is None else cache_facts(self.cache),
        )
        return ScoreSummary(
            self.out / READINGS,
            scored,
            table.earlier,
            tuple(totals.failed),
            totals.flagged,
            self.inputs.set_apart,
            self.inputs.notes,
            highest or tuple(totals.highest),
        )

    def gathered(self, table: ReadingsTable) -> tuple[Totals, tuple[StudyReading, ...]]:
        """What all rows of the table say, and the highest studies; `studies.csv` is written where there are
        studies."""
        totals = Totals()
        run = ScoreRecord.read(self.out / RECORD)
        most = len(self.items) + table.earlier
        with ExitStack() as stack:
            studies = stack.enter_context(many_studies(self.out, self.bundle.calibration, most))
            facts: FactsFile | None = None
            for row in each_reading_of(self.out / READINGS, run):
                totals.add(row)
                if row.study_id:
                    at = self.items.find(row.path)
                    if at is None and facts is None:
                        facts = stack.enter_context(FactsFile(self.out / FACTS))
                    patient = self.patient(row.path, at, facts)
                    studies.add(row.path, as_text(row.score), row.study_id, row.error, patient)
            return totals, studies.write(self.out / STUDIES, HIGHEST)

    def patient(self, path: str, at: int | None, facts: FactsFile | None) -> str:
        """What stands for the patient of an item, or of an image of an earlier run."""
        if at is not None:
            return hashed_patient(self.items.patients[at], self.bundle)
        found = None if facts is None else facts.find(path)
        return "" if facts is None or found is None else str(facts[found].get("patient", ""))
