"""What is below a source, listed with one table on the disk in place of lists in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

from secondread.cohorts.labels.box_masks import BoxMasks
from secondread.cohorts.listing.channels import joined_channels
from secondread.cohorts.listing.dicom_tree import HowDicom, Order, rows_of_series
from secondread.cohorts.listing.file_reading import LostSlices, SliceCopies, is_text, read_each, reason_of
from secondread.cohorts.listing.given.brain_masks import BrainMasks
from secondread.cohorts.listing.given.mask_patterns import FoundMasks, masks_by_patterns
from secondread.cohorts.listing.given.patients import PatientsOfPaths, patient_pattern
from secondread.cohorts.listing.given.volume_parts import NOT_ZERO, VolumeParts
from secondread.cohorts.listing.identities import hashing, key_beside, read_key
from secondread.cohorts.listing.key_map import MappedStudy, studies_of
from secondread.cohorts.listing.npz_rows import Archive, read_archive, rows_of_archive
from secondread.cohorts.listing.options import IndexOptions
from secondread.cohorts.listing.pictures import HowPictures, Pictures
from secondread.cohorts.listing.set_aside import SetAside
from secondread.cohorts.listing.split_file import SplitFile
from secondread.cohorts.listing.streamed.file_table import FileTable
from secondread.cohorts.listing.streamed.kept_headers import KeptHeaders
from secondread.cohorts.listing.streamed.on_ray import OnRay
from secondread.cohorts.listing.streamed.reading import AT_ONCE, HeadersRead, Here, ReadPieces, read_headers
from secondread.cohorts.listing.streamed.row_table import RowTable
from secondread.cohorts.listing.tree import TABLES, walk
from secondread.cohorts.listing.volume_slices import InSlices, SliceChoice
from secondread.cohorts.row import Row, counts_alone
from secondread.errors import DataError, UserError
from secondread.images.image import ImageError
from secondread.outputs.lock import only_one
from secondread.outputs.temporary_database import TemporaryDatabase


@dataclass
class Listing:
    """What was found below `base`, while the tables on the disk are there.

    set_aside, warnings, key_path, missing   as `index.IndexResult` has them
    """

    base: Path
    set_aside: list[SetAside]
    warnings: list[str]
    key_path: Path | None
    missing: list[str]
    _rows: RowTable
    _filled: set[str]
    _dicom: Callable[[str], bool]
    _files: FileTable

    def rows(self) -> Iterator[Row]:
        """The rows, in the order in which people count their paths; as often as asked for. Further columns
        that are empty in all of them are left out."""
        for row in self._rows:
            extra = {name: value for name, value in row.extra.items() if name in self._filled}
            yield row if len(extra) == len(row.extra) else replace(row, extra=extra)

    def studies(self, rows: Iterable[Row]) -> tuple[MappedStudy, ...]:
        """Whose some rows are, from the headers that were read to list them."""
        return studies_of(rows, self._files, self._dicom)


@contextmanager
def listing(src: str | Path, how: IndexOptions) -> Iterator[Listing]:
    """List the images of a file or folder (see `index.index`)."""
    if how.every < 1:
        raise UserError(f"each {how.every}th frame: give 1 for all, 2 for every other one, and so on")
    src = Path(src)
    if not src.exists():
        raise UserError(f"{src}: no such file or folder")
    if src.is_file() and src.suffix.lower() in TABLES:
        raise UserError(
            f"{src}: a table, and index lists images: give the folder of the images, and the table with "
            "--labels"
        )
    with ExitStack() as stack:
        yield _Listing(src, how, stack).done()


@dataclass
class _Listing:
    """One listing on its way: from paths over headers and rows to rows in order."""

    src: Path
    how: IndexOptions
    stack: ExitStack
    aside: list[SetAside] = field(default_factory=list)

    def __post_init__(self) -> None:
        how = self.how
        self.choice = SliceChoice.parse(how.plane, how.slices)
        if how.slices is not None and not how.as_images:
            raise UserError("--slices chooses among the slices of volumes; add --as images")
        self.pattern = patient_pattern(how.patient) if how.patient else None
        self.parts = VolumeParts.parse(how.volume_parts) if how.volume_parts else None
        if self.parts and how.channels:
            raise UserError("--volume-parts and --channels both say what an image is; give one of them")
        self.database = self.stack.enter_context(closing(TemporaryDatabase("what index sees of each file")))
        self.table = how.labels.read(self.database) if how.labels is not None else None
        self.base = (self.src if self.src.is_dir() else self.src.parent).resolve()
        self.files = FileTable(self.database)

    def done(self) -> Listing:
        how, src = self.how, self.src
        unnamed = self._walk()
        outlined = None
        if how.masks:
            outlined = masks_by_patterns(self.files, self.database, how.masks, str(src))
        found = None
        if how.split_file is not None:
            found = SplitFile.read(how.split_file).find(self.files.paths(), src, self.database)
            self.files.keep_only(found.files.TABLE)
            unnamed = []

        def is_outlined(path: str) -> bool:
            return outlined is not None and outlined.has(path)

        read = self._read(is_outlined)
        self.aside += [*unnamed, *read.unreadable.values()]
        if not len(self.files):
            if self.aside:
                raise DataError(
                    f"{src}: none of {len(self.aside)} files is an image that can be read; first: "
                    f"{self.aside[0]}"
                )
            raise UserError(f"{src}: no image in this folder")

        hashed = read.dicom.someone and not how.keep_ids
        secret, key_path = _key(how.key, how.manifest_path) if hashed else (None, None)
        dicom = self._dicom_rows(secret, outlined, every_image=found is not None)
        folder = self.base.name if how.folders_as_sequences else ""
        pictures = Pictures(
            dicom,
            self.files,
            self.database,
            found,
            HowPictures(how.as_images, how.every, folder, self.parts, outlined),
        )
        self.aside += pictures.aside
        archived = RowTable(self.database, "archived")
        archives = self.files.of_kind("npz")
        if found is not None:
            why = "an archive, and a split file names single images"
            self.aside += [SetAside(path, why) for path in archives]
        while some := list(islice(archives, AT_ONCE)):
            for path, archive in read_each(self.base, some, read_archive, how.workers):
                self._archive(path, archive, archived)
        rows: Iterable[Row] = pictures
        if how.channels:
            rows, unjoined = joined_channels(self.database, rows, how.channels, pictures.masks)
            self.aside += unjoined
        self.aside += [SetAside(path, "mask that fits no image, or several") for path in pictures.masks.lone]
        if not any(True for _ in islice(chain(rows, archived), 1)):
            raise UserError(f"{src}: every image was set apart; first: {self.aside[0]}")

        said: list[str] = []
        if self.table is not None:
            rows, said = self.table.applied(
                rows, self.files, self.base, str(src), how.manifest_path, hashing(secret)
            )
        brains = None
        patients = None if self.pattern is None else PatientsOfPaths(self.pattern, self.database)
        if patients is not None:
            rows = map(patients.of, rows)
        if self.parts is not None and self.parts.brain == NOT_ZERO:
            brains = BrainMasks(self.base, BoxMasks.beside(_place(how.manifest_path)).folder, how.workers)
            rows = chain.from_iterable(map(brains, _some(rows)))
        cut = None
        if how.as_images:
            cut = InSlices(self.files, self.base, self.choice, how.every, how.workers)
            rows = chain.from_iterable(map(cut, _some(rows)))
        final = _Final(self.database)
        final.take(rows)
        final.take(archived, archived=True)
        warnings = [*read.dicom.lines, *(found.remarks(src) if found is not None else ()), *pictures.notes]
        warnings += said if self.table is not None else pictures.unclear
        warnings += patients.notes if patients is not None else ()
        if brains is not None:
            self.aside += brains.aside
        if cut is not None:
            self.aside += cut.aside
            warnings += cut.notes
        warnings += final.assumptions(how.normal_class)
        missing = list(found.missing) if found else []
        return Listing(
            self.base,
            self.aside,
            warnings,
            key_path,
            missing,
            final.rows,
            final.filled,
            is_outlined,
            self.files,
        )

    def _walk(self) -> list[SetAside]:
        """Fill the table with paths; what has a name that no manifest can hold."""
        unnamed: list[SetAside] = []
        own = _Own(self.base, self.how.manifest_path)

        def named() -> Iterator[str]:
            for path in walk(self.base, self.aside) if self.src.is_dir() else [self.src.name]:
                if own.has(path):
                    continue
                if is_text(path):
                    yield path
                else:
                    unnamed.append(SetAside(ascii(path), "a name that is not UTF-8; rename it"))

        self.files.add_paths(named())
        return unnamed

    def _read(self, passed_over: Callable[[str], bool]) -> HeadersRead:
        how = self.how
        read: ReadPieces = Here(self.base, min(how.workers, self.files.count))
        if how.ray is not None:
            first = next(self.files.paths(), None)
            sees = () if first is None else (str(self.base / first),)
            read = OnRay(how.ray, self.base, _place(how.manifest_path).parent, sees)
        kept = None
        if how.resumable and self.files.count > AT_ONCE:
            place = _place(how.manifest_path)
            self.stack.enter_context(only_one(place, beside=True))
            kept = self.stack.enter_context(KeptHeaders(place, self.base))
        return read_headers(self.files, self.base, read, kept, passed_over)

    def _dicom_rows(
        self, secret: bytes | None, outlined: FoundMasks | None, *, every_image: bool
    ) -> RowTable:
        how = self.how
        rows = RowTable(self.database, "of_dicom")
        apart: list[tuple[Order, SetAside]] = []
        lost = LostSlices(self.base, self.files.beside_slices(), how.workers)
        with closing(SliceCopies(self.base, how.workers)) as copies:
            asked = HowDicom(
                as_images=how.as_images or every_image,
                keep_derived=how.keep_derived or every_image,
                identify=hashing(secret),
                copies=copies,
                every=how.every,
                clips_whole=how.clips_whole,
            )
            for files in self.files.by_series():
                if outlined is not None:
                    files = [file for file in files if not outlined.has(file.path)]
                if not files:
                    continue
                listed: list[tuple[Order, Row]] = []
                for place, one in rows_of_series(files, asked, lost.beside(files)):
                    if isinstance(one, SetAside):
                        apart.append((place, one))
                    else:
                        listed.append((place, one))
                rows.add(listed)
        self.aside += [one for _, one in sorted(apart, key=lambda pair: pair[0])]
        return rows

    def _archive(self, path: str, archive: Archive | ImageError, rows: RowTable) -> None:
        """The images of an archive as rows; or why it cannot be used."""
        try:
            if isinstance(archive, ImageError):
                raise archive
            found = rows_of_archive(archive, path, self.how.normal_class)
            rows.add_by_path(found)
        except ImageError as error:
            self.aside.append(SetAside(path, reason_of(error), unreadable=isinstance(archive, ImageError)))


class _Final:
    """Rows in the order of a manifest, and what was taken for granted of them."""

    def __init__(self, database: TemporaryDatabase) -> None:
        self.rows = RowTable(database, "final")
        self.filled: set[str] = set()
        self._count = self._alone = 0
        self._archived = self._labelled = False

    def take(self, rows: Iterable[Row], *, archived: bool = False) -> None:
        for some in _some(rows):
            self._archived |= archived
            self._count += len(some)
            for row in some:
                self._alone += counts_alone(row)
                self._labelled |= bool(row.label)
                if not row.extra.keys() <= self.filled:
                    self.filled.update(name for name, value in row.extra.items() if value)
            self.rows.add_by_path(some)

    def assumptions(self, normal_class: int) -> list[str]:
        """What was taken for granted of labels in archives and of patients."""
        lines = []
        if self._archived:
            lines.append(f"in archives, label {normal_class} was taken as normal and every other as abnormal")
        if self._alone:
            lines.append(
                f"{self._alone} of {self._count} images have no patient id: each counts as its own patient; "
                "--patient takes ids out of paths"
            )
        if not self._labelled:
            lines.append(
                "no image has a label: take labels from a table with --labels, or write normal and abnormal "
                "into the column label"
            )
        return lines


def _some(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rows = iter(rows)
    while some := list(islice(rows, AT_ONCE)):
        yield some


class _Own:
    """Which files are the manifest, or lie in its folder of masks."""

    def __init__(self, base: Path, manifest_path: str | Path | None) -> None:
        self._base = base
        self._own = None if manifest_path is None else Path(manifest_path).resolve()
        self._masks = None if self._own is None else BoxMasks.beside(self._own).folder

    def has(self, path: str) -> bool:
        if self._own is None:
            return False
        whole = self._base / path
        return whole == self._own or self._masks in whole.parents


def _place(manifest_path: str | Path | None) -> Path:
    if manifest_path is None:
        raise UserError("masks are written beside the manifest: say where the manifest will lie")
    return Path(manifest_path).absolute()


def _key(key: str | Path | None, manifest_path: str | Path | None) -> tuple[bytes, Path]:
    if key is not None:
        return read_key(key), Path(key)
    if manifest_path is None:
        raise UserError(
            "ids in DICOM headers are replaced by keyed hashes: give a key, the manifest's path, or keep_ids"
        )
    return key_beside(manifest_path)
