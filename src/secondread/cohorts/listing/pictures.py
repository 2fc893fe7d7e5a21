"""Pictures and volumes that are no DICOM, as rows: their masks, pages, parts and what their folders say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from secondread.cohorts.listing.folder_names import columns_from_folders, part_masks, unclear_folders
from secondread.cohorts.listing.given.mask_patterns import FoundMasks
from secondread.cohorts.listing.given.volume_parts import VolumeParts
from secondread.cohorts.listing.set_aside import SetAside
from secondread.cohorts.listing.split_file import Found
from secondread.cohorts.row import Row
from secondread.cohorts.sequences import place_of, sequences_of_folders
from secondread.images.header import Header


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


@dataclass
class Listed:
    """Rows; masks that fit no one image; files that became no row; what is to be said of folders that are not
    clear, and of all else."""

    rows: list[Row]
    lone_masks: list[str] = field(default_factory=list)
    aside: list[SetAside] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def with_pictures(
    rows: Sequence[Row], headers: Mapping[str, Header], found: Found | None, how: HowPictures
) -> Listed:
    """The rows and those of pictures and volumes, placed as folders or the split file say. Raises UserError
    where the parts of volumes fit no file."""
    pictures = [path for path, header in headers.items() if header.kind not in ("dicom", "npz")]
    masks: Mapping[str, str] = {}
    lone: list[str] = []
    if how.outlined is not None:
        rows = [replace(row, mask=how.outlined.masks.get(row.path, row.mask)) for row in rows]
        images = [path for path in pictures if path not in how.outlined.files]
        masks = how.outlined.masks
    elif found or how.parts:
        images = pictures
    else:
        images, masks, lone = part_masks(pictures)
    drawn = [row for path in images for row in _picture_rows(path, headers, masks.get(path, ""), how)]
    listed = Listed([], lone, notes=[] if how.outlined is None else how.outlined.notes)
    if how.parts:
        drawn, listed.aside, said = how.parts.joined(drawn)
        listed.notes += said
    if how.folder:
        drawn = sequences_of_folders(drawn, how.folder, how.every)
    listed.rows = [*rows, *drawn]
    if found:
        listed.rows = _with_listed_columns(listed.rows, found)
    else:
        said_by_folders = columns_from_folders([row.path for row in listed.rows])
        listed.rows = [
            replace(row, split=said.split, label=said.label, finding=said.finding)
            for row, said in zip(listed.rows, said_by_folders, strict=True)
        ]
        listed.unclear = unclear_folders(said_by_folders)
    return listed


def _picture_rows(path: str, headers: Mapping[str, Header], mask: str, how: HowPictures) -> list[Row]:
    """A picture or volume as one row, or each volume of a 4-D NIfTI and, where they are asked for, each page
    of a TIFF as one. A mask of as many pages has one for each."""
    header = headers[path]
    if header.frames == 1 or (header.kind == "tiff" and not how.pages):
        return [Row(path, mask=mask)]
    numbers = range(0, header.frames, how.every)
    if header.kind != "tiff":
        return [Row(f"{path}#frame/{number}", mask=mask) for number in numbers]
    own = headers.get(mask)
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


def _with_listed_columns(rows: Sequence[Row], found: Found) -> list[Row]:
    """The rows as the split file places their files; frames of a file are placed alike."""
    return [
        found.files[row.path if row.path in found.files else row.path.rpartition("#frame/")[0]].placed(row)
        for row in rows
    ]
