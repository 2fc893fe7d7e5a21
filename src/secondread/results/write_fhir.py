"""Readings as FHIR resources, in a file for each study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from secondread.outputs.whole import write_whole
from secondread.readings.readings import Readings
from secondread.results.dicom.identity import Author
from secondread.results.dicom.quiet import quiet_writing
from secondread.results.dicom.studies import Group, study_of
from secondread.results.fhir import as_bytes, fhir_bundle
from secondread.results.folder import Outcome, Written, author_of, write_studies
from secondread.settings.arguments import checked


@checked
def write_fhir_results(
    readings: Readings | str | Path,
    out: str | Path,
    *,
    command: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Write what was read as FHIR R4, for a hospital's information system.

    For each study a JSON file in `out`: a Bundle of type collection with a preliminary DiagnosticReport, an
    Observation for each image (score, p-value, flag, threshold and what it promises), and the Device. Images
    of any format are taken; those that are no DICOM are gathered by the study id of the manifest, and without
    one stand alone. A subject is named where a DICOM header names one, by PatientID.

    readings  of `score`, or their folder
    out       a folder; a file that says the same already stays
    progress  called with images done and images in all

    A DICOM image whose file is gone or was changed has no result, with the reason in the table `fhir.csv` and
    in `Written.failed`. Raises UserError where `out` is another command's or the disk is full, DataError
    where no image has a result.

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=40, n_abnormal=5)
    >>> bundle = secondread.fit("spectrum", manifest, "bundle", workers=0, progress=False)
    >>> readings = secondread.score(bundle, manifest, "readings", where=["split=test"], workers=0)
    >>> secondread.write_fhir_results(readings, "results").studies
    10
    """
    found = readings if isinstance(readings, Readings) else Readings.read(readings)
    writer = _Writer(found, Path(out), author_of(found))
    return write_studies(found, Path(out), "fhir", writer.write, command=command, progress=progress)


@dataclass(frozen=True)
class _Writer:
    readings: Readings
    out: Path
    author: Author

    def write(self, group: Group, complete: bool) -> Outcome:
        study = study_of(group, self.readings)
        with quiet_writing():
            data = as_bytes(fhir_bundle(study, self.readings.run, self.author))
        path = self.out / f"{group.name}.json"
        if complete and path.is_file() and path.read_bytes() == data:
            return Outcome(path.name, False)
        write_whole(path, data)
        return Outcome(path.name, True)
