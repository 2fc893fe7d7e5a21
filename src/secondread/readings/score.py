"""Scoring into a folder: readings row by row, maps, studies, and a record of the run."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.bundles.bundle import Bundle
from secondread.bundles.seen import hash_patient
from secondread.calibration.description import describe
from secondread.detectors.trivial import column_of
from secondread.errors import DataError, UserError
from secondread.outputs.folders import RECORD, output_folder
from secondread.outputs.run_record import RunRecord
from secondread.outputs.whole import NO_ROOM, cannot_write
from secondread.preprocessing.caching import cache_facts, settle
from secondread.readings.inputs import Inputs, Item, Source, gather
from secondread.readings.maps import write_maps
from secondread.readings.pipeline import Result, default_workers, read_items
from secondread.readings.readings import FACTS, Reading, Readings, read_facts
from secondread.readings.readings_table import READINGS, Columns, Kept, ReadingsTable
from secondread.readings.same_file import Files, Known
from secondread.readings.score_record import ScoreRecord
from secondread.readings.studies import read_studies, write_studies
from secondread.wording.short import Short

if TYPE_CHECKING:
    from secondread.preprocessing.cache import Cache

WAITING_FOR_WRITER = 64


@dataclass(frozen=True, repr=False)
class ScoreSummary(Short):
    """What a run did.

    readings  the table's path
    scored    images that this run gave a score; `earlier` had one before
    failed    images without a score, with the reason, in the table's order
    notes     what a person should know of the manifest's columns
    flagged   of all images in the table
    """

    readings: Path
    scored: int
    earlier: int
    failed: tuple[tuple[str, str], ...]
    flagged: int
    set_apart: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def nothing_readable(self) -> bool:
        return self.scored + self.earlier == 0


def score(
    bundle: Bundle,
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
    timeout_s: float = 60.0,
    command: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> ScoreSummary:
    """Score images into the folder `out`; what an earlier run of the same bundle wrote there is kept.

    maps       also write heat maps on each input's own grid
    resume     skip images that have a reading; False = refuse a folder that has readings
    key        file with the key under which patient and study ids of DICOM folders are hashed; without one
               it is `readings.csv.key` in `out`, made where it is needed and missing
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
    with output_folder(out, "score"):
        if not resume and (out / READINGS).is_file():
            raise UserError(f"{out}: there are readings already; choose another folder with -o")
        found = gather(inputs, where=where, workers=workers, key=key, key_beside=out / READINGS)
        refuse_other_readings(out, bundle, found)
        run = _Run(
            bundle, found, out, RunRecord("score", command),
            maps=maps and bundle.calibration.maps is not None, workers=workers, batch_size=batch_size,
            cache=cache, timeout_s=timeout_s, progress=progress,
        )  # fmt: skip
        try:
            return run.do()
        except OSError as error:
            raise cannot_write(Path(error.filename or out), error) from error


@dataclass
class _Run:
    """One run into a folder that is held for it."""

    bundle: Bundle
    inputs: Inputs
    out: Path
    record: RunRecord
    maps: bool
    workers: int
    batch_size: int | None
    cache: Cache | None
    timeout_s: float
    progress: Callable[[int, int], None] | None
    files: Files = field(default_factory=Files)

    def do(self) -> ScoreSummary:
        bundle, items = self.bundle, self.inputs.items
        columns = Columns(
            bundle.parts,
            tuple(column_of(name) for name in bundle.companions.names),
            without_complexity=bundle.has_complexity,
        )
        table = ReadingsTable(
            self.out, columns, bundle=bundle.digest, holds=self.holds(), with_maps=self.maps
        )
        told = record_of(bundle, self.inputs).model_dump(mode="json", exclude={"command", "versions"})
        self.record.write(self.out / RECORD, **told)
        patients = {item.path: hashed_patient(item, bundle) for item in items}
        for item in items:
            table.note(item.path, self.files.fingerprint(item.reference))
        with table:
            scored = self.read(table, [item for item in items if item.path not in table.done], patients)
        rows = Readings.read(self.out / READINGS).rows
        studies = read_studies(rows, bundle.calibration, {**earlier_patients(self.out), **patients})
        if studies:
            write_studies(self.out / "studies.csv", studies)
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
        flagged = sum(bool(row.flagged) for row in rows)
        return ScoreSummary(
            self.out / READINGS,
            scored,
            len(table.done),
            failed,
            flagged,
            self.inputs.set_apart,
            self.inputs.notes,
        )

    def holds(self) -> Callable[[str, str, Kept], bool]:
        """Whether an earlier row is this bundle's reading of the file as it is now. A row of a file that is
        gone, or that this run does not ask for, stays."""
        references = {item.path: item.reference for item in self.inputs.items}
        known = earlier_run(self.out) is not None

        def still(path: str, digest: str, kept: Kept) -> bool:
            if kept.bundle != self.bundle.digest and (kept.bundle or not known):
                return False
            if path not in references:
                return True
            one = Known(references[path], digest, kept.fingerprint)
            return self.files.compare(one) in ("same", "gone")

        return still

    def read(self, table: ReadingsTable, wanted: Sequence[Item], patients: Mapping[str, str]) -> int:
        """Read what is left, row by row; how many images got a score."""
        results = read_items(
            self.bundle,
            wanted,
            maps=self.maps,
            workers=self.workers,
            batch_size=self.batch_size,
            cache=self.cache,
            timeout_s=self.timeout_s,
        )
        fingerprints = {item.path: self.files.fingerprint(item.reference) for item in wanted}
        scored = 0
        try:
            with _Writer(table, self.bundle, patients, fingerprints, self.progress) as writer:
                for result in results:
                    scored += result.reading.score is not None
                    writer.put(result)
        finally:
            table.finish()
        return scored


def record_of(bundle: Bundle, inputs: Inputs) -> ScoreRecord:
    """What evaluation and a later reader must know about a run that begins."""
    return ScoreRecord.model_validate(
        {
            "seed": bundle.provenance.seed,
            "bundle": str(bundle.path.absolute()) if bundle.path else None,
            "digests": {"bundle": bundle.digest, "manifest": inputs.manifest_digest},
            "manifest": inputs.manifest,
            "base": inputs.base,
            "key_mark": inputs.key_mark,
            "device": bundle.device,
            "calibration": describe(bundle.calibration),
            "map_scale": bundle.calibration.map_scale,
            "map_threshold": bundle.calibration.map_threshold,
            "recipe": bundle.recipe.model_dump(mode="json"),
            "provenance": bundle.provenance.model_dump(mode="json"),
            "patients_seen": {"key": bundle.seen.key, "patients": bundle.seen.patients},
            "pixels_seen": bool(bundle.seen.pixels),
            "allow_shared_patients": bundle.provenance.allow_shared_patients,
            "finished": False,
        }
    )


def hashed_patient(item: Item, bundle: Bundle) -> str:
    """What stands for the item's patient in a folder of readings: a hash under the bundle's own key."""
    return hash_patient(item.patient_id, bundle.seen.key) if item.patient_id else ""


def earlier_patients(out: Path) -> dict[str, str]:
    """Path -> hashed patient, as this and earlier runs wrote them."""
    return {line["path"]: line.get("patient", "") for line in read_facts(out / FACTS)}


def refuse_other_readings(out: Path, bundle: Bundle, inputs: Inputs) -> None:
    """Raises UserError where `out` holds readings that this run may not be mixed with.

    Where `run.json` is missing or damaged, the rows themselves say which bundle read them.
    """
    if not (out / READINGS).is_file():
        return
    earlier = earlier_run(out)
    read_by = bundles_of(out) if earlier is None else {earlier.digests.bundle}
    if read_by - {bundle.digest}:
        raise UserError(f"{out}: holds readings of another bundle; choose another folder with -o")
    if earlier is None:
        return
    of_files = inputs.manifest is None and earlier.base is None
    if earlier.base != inputs.base and not of_files:
        raise UserError(f"{out}: holds readings of other inputs; choose another folder with -o")
    marks = {earlier.key_mark, inputs.key_mark} - {None}
    if len(marks) > 1:
        raise UserError(
            f"{out}: its study ids are hashed under another key; give that key with --key, "
            "or choose another folder with -o"
        )


def bundles_of(out: Path) -> set[str]:
    """The digests of the bundles that rows of a folder say they were read by."""
    return {str(line["bundle"]) for line in read_facts(out / FACTS) if line.get("bundle")}


def earlier_run(out: Path) -> ScoreRecord | None:
    """What an earlier run recorded; None where that is missing or damaged."""
    try:
        return ScoreRecord.read(out / RECORD) if (out / RECORD).is_file() else None
    except DataError:
        return None


class _Writer:
    """Maps and rows are written in a thread of their own, while the next batch is computed."""

    def __init__(
        self,
        table: ReadingsTable,
        bundle: Bundle,
        patients: Mapping[str, str],
        fingerprints: Mapping[str, str],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.table = table
        self.scale = bundle.calibration.map_scale
        self.patients = patients
        self.fingerprints = fingerprints
        self.progress = progress
        self.done = len(table.done)
        self.error: BaseException | None = None
        self.waiting: queue.Queue[Result | None] = queue.Queue(WAITING_FOR_WRITER)
        self.thread = threading.Thread(target=self._run, name="secondread-write", daemon=True)

    def put(self, result: Result) -> None:
        if self.error is not None:
            raise self.error
        self.waiting.put(result)

    def _run(self) -> None:
        while (result := self.waiting.get()) is not None:
            if self.error is None:
                try:
                    self._write(result)
                except BaseException as error:
                    self.error = error

    def _write(self, result: Result) -> None:
        reading = result.reading
        if result.map is not None and self.scale is not None:
            reading = self._with_map(result, self.scale)
        self.table.append(
            reading,
            result.acquisition,
            None if reading.error else result.thumbnail,
            patient=self.patients[reading.path],
            fingerprint=self.fingerprints[reading.path],
        )
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, len(self.patients))

    def _with_map(self, result: Result, scale: tuple[float, float]) -> Reading:
        """The reading with its map; where the disk has room but not for this map, one with an error."""
        reading = result.reading
        try:
            return replace(reading, map=write_maps(self.table.folder, result, scale))
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
            problem = f"its map cannot be written ({error.strerror or error})"
            return Reading(reading.path, reading.digest, reading.study_id, error=problem)

    def __enter__(self) -> _Writer:
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.waiting.put(None)
        self.thread.join()
        if self.error is not None and kind is None:
            raise self.error
