"""Pictures and volumes that are no DICOM, as rows: their masks, pages, parts and what their folders say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from secondread.cohorts.listing.folder_names import Folders, UnclearFolders
from secondread.cohorts.listing.folder_sequences import sequences_of_folders
from secondread.cohorts.listing.given.mask_patterns import FoundMasks
from secondread.cohorts.listing.given.volume_parts import VolumeParts
from secondread.cohorts.listing.set_aside import SetAside
from secondread.cohorts.listing.split_file import Found
from secondread.cohorts.listing.streamed.file_table import FileTable
from secondread.cohorts.listing.streamed.mask_table import MaskTable
from secondread.cohorts.row import Row
from secondread.cohorts.sequences import place_of
from secondread.images.header import Header
from secondread.outputs.temporary_database import TemporaryDatabase


@dataclass(frozen=True)
class HowPictures:
    """How pictures are listed.

    pages     each page of a TIFF as an image
    every     of a sequence, each `every`th
    folder    the name of the source's own folder where folders are sequences, else empty
    parts     the words that tell image, mask and brain, where they were given
    outlined  the masks that patterns found, where these were given
    """

    pages: bool
    every: int
    folder: str = ""
    parts: VolumeParts | None = None
    outlined: FoundMasks | None = None


class Pictures:
    """The rows of DICOM files and those of pictures and volumes, one after the other, placed as folders or
    the split file say.

    dicom   the rows of DICOM files
    masks    that names tell, and those that fit no one image; `aside` files that became no row; `notes` what
             is to be said
    unclear  what is to be said of folders that are not clear, once all rows were gone through

    Raises UserError where the parts of volumes fit no file.
    """

    def __init__(
        self,
        dicom: Iterable[Row],
        files: FileTable,
        database: TemporaryDatabase,
        found: Found | None,
        how: HowPictures,
    ) -> None:
        self._dicom, self._files, self._found, self._how = dicom, files, found, how
        self.aside: list[SetAside] = []
        self.notes: list[str] = [] if how.outlined is None else list(how.outlined.notes)
        self._unclear = UnclearFolders()
        self.masks = MaskTable(database)
        if how.outlined is None and not found and not how.parts:
            self.masks.find(files.pictures())
        self._given: Iterable[Row] | None = None
        if how.parts:
            self._given, self.aside, said = how.parts.joined(database, self._drawn())
            self.notes += said
        if how.folder:
            given = self._drawn() if self._given is None else self._given
            self._given = sequences_of_folders(database, given, how.folder, how.every)

    def __iter__(self) -> Iterator[Row]:
        if self._found:
            for row in self._unplaced():
                yield _with_listed_columns(row, self._found)
            return
        folders = self._folders
        self._unclear = UnclearFolders()
        for row in self._unplaced():
            said = folders.say(row.path)
            self._unclear.add(said)
            yield replace(row, split=said.split, label=said.label, finding=said.finding)

    @cached_property
    def _folders(self) -> Folders:
        return Folders(row.path for row in self._unplaced())

    @property
    def unclear(self) -> list[str]:
        return self._unclear.lines

    def _unplaced(self) -> Iterator[Row]:
        outlined = self._how.outlined
        for row in self._dicom:
            mask = "" if outlined is None else outlined.of(row.path)
            yield replace(row, mask=mask) if mask else row
        yield from self._drawn() if self._given is None else self._given

    def _drawn(self) -> Iterator[Row]:
        outlined = self._how.outlined
        for _, path, header in self._files.picture_headers():
            if outlined is not None:
                if (mask := outlined.of(path)) is not None:
                    yield from _picture_rows(header, self._files, mask, self._how)
            elif self.masks.is_image(path):
                yield from _picture_rows(header, self._files, self.masks.of(path), self._how)


def _picture_rows(header: Header, headers: Mapping[str, Header], mask: str, how: HowPictures) -> list[Row]:
    """A picture or volume as one row, or each volume of a 4-D NIfTI and, where they are asked for, each page
    of a TIFF as one. A mask of as many pages has one for each."""
    path = header.path
    if header.frames == 1 or (header.kind == "tiff" and not how.pages):
        return [Row(path, mask=mask)]
    numbers = range(0, header.frames, how.every)
    if header.kind != "tiff":
        return [Row(f"{path}#frame/{number}", mask=mask) for number in numbers]
    own = headers.get(mask) if mask else None
    paged = own is not None and own.kind == "tiff" and own.frames == header.frames
    return [
        Row(
            f"{path}#frame/{number}",
            mask=f"{mask}#frame/{number}" if paged else mask,
            study_id=path,
            extra=place_of(number),
        )
        for number in numbers
    ]


def _with_listed_columns(row: Row, found: Found) -> Row:
    """The row as the split file places its file; frames of a file are placed alike."""
    listed = found.files.get(row.path) or found.files[row.path.rpartition("#frame/")[0]]
    return listed.placed(row)
