"""Readings as DICOM objects, in a folder for each study."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from secondread.errors import DataError, UserError
from secondread.images.dicom.dataset import text
from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.outputs.whole import remove_folder, whole_folder
from secondread.readings.reading import Reading
from secondread.readings.readings import Readings
from secondread.results.dicom.identity import Author, Kind
from secondread.results.dicom.parametric_map import NoParametricMap, parametric_map
from secondread.results.dicom.quiet import quiet_writing
from secondread.results.dicom.secondary_capture import overlay
from secondread.results.dicom.segmentation import segmentation
from secondread.results.dicom.source import Source
from secondread.results.dicom.structured_report import structured_report, tracking_uid
from secondread.results.dicom.studies import Group, ImageRead, Study, image_key, read_of, study_of
from secondread.results.folder import Outcome, Written, author_of, write_studies
from secondread.settings.arguments import checked
from secondread.terminal.events import place_in_code
from secondread.wording.extras import install_command
from secondread.wording.numbers import rate

if TYPE_CHECKING:
    from pydicom import Dataset

REPORT = "report.dcm"
_FAILURES = (AttributeError, KeyError, IndexError, TypeError, ValueError, NotImplementedError)
"""What highdicom and pydicom raise where a source is not as an object needs it."""
_MENTIONED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
Made = TypeVar("Made")


@checked
def write_dicom_results(
    readings: Readings | str | Path,
    out: str | Path,
    *,
    command: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Write what was read of DICOM images as DICOM, for an archive and its viewers.

    For each source study a folder in `out`, with a structured report (TID 1500: score, p-value, flag,
    threshold and what it promises) and, for each image with a map, a segmentation of the pixels at or above
    the map threshold, a parametric map, and an RGB picture of the image under its map. Patient and study are
    copied from the source. UIDs follow from what was read, so that what is sent twice is there once.

    readings  of `score`, or their folder; with `maps=True` they have maps
    out       a folder; what an earlier run left there of the same readings stays
    progress  called with images done and images in all

    An image whose file is gone, was changed or is no DICOM has no result, with the reason in the table
    `dicom.csv` and in `Written.failed`. Raises UserError where highdicom is not installed, `out` is another
    command's or the disk is full; DataError where no image has a result.

    >>> import secondread
    >>> from pydicom.examples import get_path
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=40, n_abnormal=5)
    >>> bundle = secondread.fit("spectrum", manifest, "bundle", workers=0, progress=False)
    >>> readings = secondread.score(bundle, str(get_path("ct")), "readings", workers=0)
    >>> written = secondread.write_dicom_results(readings, "results")
    >>> written.studies, written.failed
    (1, ())
    """
    require_highdicom()
    found = readings if isinstance(readings, Readings) else Readings.read(readings)
    writer = _Writer(found, Path(out), author_of(found))
    return write_studies(found, Path(out), "dicom", writer.write, command=command, progress=progress)


def require_highdicom() -> None:
    """Raises UserError where it is not installed."""
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"DICOM results need highdicom ({error}); install it with `{install_command('dicom')}`"
        ) from None


@dataclass
class _Parts:
    """What was made of the images of one study.

    results  path -> the objects, by what a report says of them
    notes    path -> what a reader of the report should know of objects that are not there
    errors   path -> what could not be made, for the person who runs this
    """

    results: dict[str, list[Dataset]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Writer:
    readings: Readings
    out: Path
    author: Author

    def write(self, group: Group, complete: bool) -> Outcome:
        study = study_of(group, self.readings)
        folder, parts = self.out / group.name, _Parts()
        with quiet_writing():
            if complete and self._there(folder, study):
                return Outcome(group.name, False)
            if folder.exists():
                remove_folder(folder)
            with whole_folder(folder) as place:
                for number, image in enumerate(study.images, start=1):
                    for kind, made in self._objects(study, image, parts):
                        name = f"{number:04}-{kind.replace(' ', '-')}.dcm"
                        self._save(made, place / name, image.reading.path)
                path = study.first.reference
                report = _made("report", path, lambda: self._report(study, parts))
                self._save(report, place / REPORT, path)
        return Outcome(group.name, True, parts.errors)

    def _report(self, study: Study, parts: _Parts) -> Dataset:
        return structured_report(study, self.readings.run, self.author, parts.results, parts.notes)

    def _there(self, folder: Path, study: Study) -> bool:
        """Whether an earlier run's report says the same."""
        import pydicom

        expected = self.author.instance("report", study.first.headers[0], read_of(study)).uid
        try:
            found = pydicom.dcmread(folder / REPORT, specific_tags=["SOPInstanceUID"])
        except Exception:  # missing or damaged, in whatever way: it is written anew
            return False
        return text(found, "SOPInstanceUID") == expected

    def _objects(self, study: Study, image: ImageRead, parts: _Parts) -> Iterator[tuple[Kind, Dataset]]:
        """The objects of one image that has a map; what cannot be made is told in `parts`."""
        reading, source = image.reading, image.source
        if source is None or reading.failed:
            return
        try:
            heat = self._map(reading)
        except DataError as error:
            parts.errors[reading.path] = str(error)
            return
        if heat is None:
            return
        for kind, make in self._makers(study, reading, source, heat):
            try:
                made = _made(kind, source.reference, make)
            except NoParametricMap as error:
                said = str(error).removeprefix(f"{source.reference}: ")
                parts.notes.setdefault(reading.path, []).append(said[:1].upper() + said[1:])
                continue
            except DataError as error:
                parts.errors.setdefault(reading.path, str(error))
                continue
            if made is not None:
                signed = self.author.signed(made, source.headers[0])
                yield kind, signed
                parts.results.setdefault(reading.path, []).append(_mention(signed))

    def _makers(
        self, study: Study, reading: Reading, source: Source, heat: NDArray[np.float32]
    ) -> Iterator[tuple[Kind, Callable[[], Dataset | None]]]:
        run, author, key = self.readings.run, self.author, image_key(source)
        header = source.headers[0]
        number = _number(source)

        def identity(kind: Kind) -> dict:
            return {
                **author.instance(kind, header, [*key, reading.digest], number).keywords,
                **author.equipment,
            }

        if run.map_threshold is not None:
            threshold = run.map_threshold
            yield "segmentation", lambda: segmentation(
                source, heat, threshold, algorithm=author.model, version=author.version,
                tracking_uid=tracking_uid(author, study, reading, source),
                description=_about_threshold(self.readings), **identity("segmentation"),
            )  # fmt: skip
        yield (
            "parametric map",
            lambda: parametric_map(source, heat, scale=run.map_scale, **identity("parametric map")),
        )
        if run.map_scale is not None:
            scale = run.map_scale
            yield "overlay", lambda: overlay(
                source, read_image(self.readings.reference(reading)), heat, scale, reading, author,
                author.instance("overlay", header, [*key, reading.digest], number),
            )  # fmt: skip

    def _map(self, reading: Reading) -> NDArray[np.float32] | None:
        """A reading's map on its file's grid; None where it has none."""
        if self.readings.maps is not None:
            return self.readings.maps.get(reading.path)
        if reading.map is None:
            return None
        try:
            found = read_image(str(reading.map))
        except ImageError as error:
            raise DataError(
                f"{reading.path}: its map cannot be read ({error.path}: {error.problem}); "
                "run the same `secondread score --maps` again"
            ) from None
        values = found.pixels[0].astype(np.float32, copy=False)
        on_file = found.geometry.to_file_axes(values).astype(np.float32, copy=False)
        return on_file if found.geometry.file_affine is None else on_file.T  # as `write_map` turned it

    def _save(self, made: Dataset, path: Path, source: str) -> None:
        try:
            made.save_as(path, enforce_file_format=True)
        except OSError as error:  # pydicom tells it again with its own traceback and without the number
            told = error.__context__ if isinstance(error.__context__, OSError) else error
            raise told from None
        except _FAILURES as error:
            raise _cannot("file", source, error) from None


def _made(kind: str, source: str, make: Callable[[], Made]) -> Made:
    try:
        return make()
    except ImageError as error:
        raise DataError(str(error)) from None
    except _FAILURES as error:
        raise _cannot(kind, source, error) from None


def _cannot(kind: str, source: str, error: Exception) -> DataError:
    """The text of the error stays unsaid: it may repeat what stands in the header."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = place_in_code(frame.filename, frame.lineno)
    return DataError(
        f"{source}: no {kind} can be made of its header ({type(error).__name__}, {place}); export it again"
    )


def _mention(made: Dataset) -> Dataset:
    """What a report needs of an object, without its pixels."""
    from pydicom import Dataset

    kept = Dataset()
    for keyword in _MENTIONED:
        setattr(kept, keyword, made[keyword].value)
    return kept


def _number(source: Source) -> int:
    """The number of a result in its series: that of its frame or instance, and 1 for a whole volume."""
    frame = source.planes[0].frame
    if len(source.planes) == 1 and frame is not None:
        return frame
    said = text(source.headers[0], "InstanceNumber")
    return int(said) if len(source.headers) == 1 and said.isdecimal() else 1


def _about_threshold(readings: Readings) -> str:
    run = readings.run
    share = (run.calibration.model_extra or {}).get("pixel_false_alarm_rate") if run.calibration else None
    reached = (
        f", which {rate(share)} of the pixels of calibration normals reach"
        if isinstance(share, float)
        else ""
    )
    return f"Map at or above {run.map_threshold:.6g}{reached}. Research use, not a medical device."
