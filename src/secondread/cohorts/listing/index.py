"""A folder, DICOM tree or archive becomes a manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from secondread.cohorts.listing.channels import joined_channels
from secondread.cohorts.listing.dicom_tree import rows_of_dicom
from secondread.cohorts.listing.dicom_volumes import DicomFile
from secondread.cohorts.listing.file_reading import (
    headers_of,
    hold_copies,
    is_text,
    lost_slices,
    read_each,
    reason_of,
)
from secondread.cohorts.listing.folder_names import columns_from_folders, part_masks, unclear_folders
from secondread.cohorts.listing.header_warnings import header_warnings
from secondread.cohorts.listing.identities import hashing, key_beside, read_key
from secondread.cohorts.listing.natural_order import natural
from secondread.cohorts.listing.npz_rows import read_archive, rows_of_archive
from secondread.cohorts.listing.set_aside import SetAside
from secondread.cohorts.listing.split_file import Found, SplitFile
from secondread.cohorts.listing.tree import Tree, tree_of
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row, counts_alone
from secondread.cohorts.sequences import place_of, sequences_of_folders
from secondread.errors import DataError, UserError
from secondread.images.header import Header
from secondread.images.image import ImageError


@dataclass(frozen=True)
class IndexResult:
    """The manifest (its base is the source's folder), what became no row, and what a person should know.

    `key_path` is the file that holds the key of the hashed ids, where one was used. `missing` are the names
    in a split file that no file has.
    """

    manifest: Manifest
    set_aside: list[SetAside]
    warnings: list[str]
    key_path: Path | None
    missing: list[str] = field(default_factory=list)


def index(
    src: str | Path,
    *,
    manifest_path: str | Path | None = None,
    as_images: bool = False,
    keep_ids: bool = False,
    keep_derived: bool = False,
    key: str | Path | None = None,
    where: Sequence[str] = (),
    normal_class: int = 0,
    split_file: str | Path | None = None,
    channels: Sequence[str] = (),
    every: int = 1,
    folders_as_sequences: bool = False,
    clips_whole: bool = False,
    workers: int = 2,
) -> IndexResult:
    """List the images of a file or folder; nothing is written but, where it is needed, the key.

    src            a folder, searched to its end, or one file
    manifest_path  where the manifest will be written; the key of hashed ids lies beside it
    as_images      keep CT, MR and PT slices, and the pages of a TIFF, as images
    keep_ids       leave the headers' patient and study ids as they are, instead of keyed hashes
    keep_derived   take derived CT, MR and PT series too
    key            a file with the key (see `identities`)
    where          filters on the columns
    normal_class   the label of an archive that means normal
    split_file     a published list of names (see `split_file`): only these files become rows, each as an
                   image, derived series too; it fills split and label, and no folder name does; no masks
    channels       words in the names of files that are the channels of one image, in their order (see
                   `joined_channels`)
    every          of a file's frames, or of a sequence in a folder, only each `every`th is listed
    folders_as_sequences   the pictures of one folder are the frames of one study, in the order in which
                   people count their names
    clips_whole    a DICOM file of several frames is one row, whatever its modality
    workers        processes that read headers, archives' contents and labels; 0 = this one, without limits

    Raises UserError where the source is missing or nothing in it is an image or meets the filters, or where
    the split file cannot be used (see `SplitFile`), and DataError where it holds files but none can be read.

    >>> import secondread
    >>> _ = secondread.make_phantoms("phantoms", seed=0, n_normal=8, n_abnormal=4)
    >>> found = secondread.index("phantoms/train", workers=0)
    >>> len(found.manifest.rows)
    6
    """
    if every < 1:
        raise UserError(f"each {every}th frame: give 1 for all, 2 for every other one, and so on")
    src = Path(src)
    if not src.exists():
        raise UserError(f"{src}: no such file or folder")
    base = (src if src.is_dir() else src.parent).resolve()
    tree = tree_of(base) if src.is_dir() else Tree([src.name], [])
    own = Path(manifest_path).resolve() if manifest_path else None
    paths = [path for path in tree.files if base / path != own]
    how = _Pictures(as_images, every, base.name if folders_as_sequences else "")
    found = None
    if split_file is not None:
        found = SplitFile.read(split_file).find((path for path in paths if is_text(path)), src)
        paths = [path for path in paths if path in found.files]
        as_images = keep_derived = True
    headers, aside = headers_of(base, paths, workers)
    aside = [*tree.aside, *aside]
    if not headers:
        if aside:
            raise DataError(
                f"{src}: none of {len(aside)} files is an image that can be read; first: {aside[0]}"
            )
        raise UserError(f"{src}: no image in this folder")

    dicom = [DicomFile(path, header) for path, header in headers.items() if header.kind == "dicom"]
    hashed = any(map(_names_someone, dicom)) and not keep_ids
    secret, key_path = _key(key, manifest_path) if hashed else (None, None)
    rows, apart = rows_of_dicom(
        dicom,
        as_images=as_images,
        keep_derived=keep_derived,
        identify=hashing(secret),
        unread=lost_slices(base, dicom, aside, workers),
        copies=lambda found: hold_copies(base, found, workers),
        every=every,
        clips_whole=clips_whole,
    )
    aside += apart
    rows, unclear, lone_masks = _with_pictures(rows, headers, found, how)
    archives = [path for path, header in headers.items() if header.kind == "npz"]
    if found is not None:
        aside += [SetAside(path, "an archive, and a split file names single images") for path in archives]
        archives = []
    archived, unread = _archived_rows(base, archives, normal_class, workers)
    aside += unread
    rows += archived
    if channels:
        rows, unjoined = joined_channels(rows, channels, lone_masks)
        aside += unjoined
    taken = {row.mask for row in rows}
    aside += [
        SetAside(path, "mask that fits no image, or several") for path in lone_masks if path not in taken
    ]
    if not rows:
        raise UserError(f"{src}: every image was set apart; first: {aside[0]}")

    warnings = [*header_warnings(dicom), *unclear, *(found.remarks(src) if found is not None else ())]
    warnings += _assumptions(rows, archived, normal_class)
    rows.sort(key=lambda row: natural(row.path))
    manifest = Manifest(_only_filled(rows), base, str(src)).where(*where)
    return IndexResult(manifest, aside, warnings, key_path, list(found.missing) if found else [])


@dataclass(frozen=True)
class _Pictures:
    """How pictures are listed: `pages` of a TIFF each as an image, each `every`th of a sequence, and the name
    of the source's own folder where folders are sequences."""

    pages: bool
    every: int
    folder: str


def _names_someone(file: DicomFile) -> bool:
    """Whether a header has an id that a row would carry; a clip without a study has its series' id."""
    header = file.header
    return bool(header.patient_id or header.study_uid or (header.frames > 1 and header.series_uid))


def _with_pictures(
    rows: Sequence[Row], headers: Mapping[str, Header], found: Found | None, how: _Pictures
) -> tuple[list[Row], list[str], list[str]]:
    """The rows and those of pictures and volumes, placed as folders or the split file say; what is to be said
    of folders that are not clear; and masks that fit no one image."""
    pictures = [path for path, header in headers.items() if header.kind not in ("dicom", "npz")]
    images, masks, lone_masks = (pictures, {}, []) if found else part_masks(pictures)
    drawn = [row for path in images for row in _picture_rows(path, headers, masks.get(path, ""), how)]
    if how.folder:
        drawn = sequences_of_folders(drawn, how.folder, how.every)
    if found:
        return _with_listed_columns([*rows, *drawn], found), [], lone_masks
    return *_with_folder_columns([*rows, *drawn]), lone_masks


def _assumptions(rows: Sequence[Row], archived: Sequence[Row], normal_class: int) -> list[str]:
    """What was taken for granted of labels in archives and of patients."""
    lines = []
    if archived:
        lines.append(f"in archives, label {normal_class} was taken as normal and every other as abnormal")
    without = sum(map(counts_alone, rows))
    if without:
        lines.append(f"{without} of {len(rows)} images have no patient id: each counts as its own patient")
    return lines


def _archived_rows(
    base: Path, archives: Sequence[str], normal_class: int, workers: int
) -> tuple[list[Row], list[SetAside]]:
    """The images of archives as rows, and the archives that cannot be used."""
    rows: list[Row] = []
    aside: list[SetAside] = []
    for path, archive in read_each(base, archives, read_archive, workers):
        try:
            if isinstance(archive, ImageError):
                raise archive
            rows += rows_of_archive(archive, path, normal_class)
        except ImageError as error:
            aside.append(SetAside(path, reason_of(error), unreadable=isinstance(archive, ImageError)))
    return rows, aside


def _key(key: str | Path | None, manifest_path: str | Path | None) -> tuple[bytes, Path]:
    if key is not None:
        return read_key(key), Path(key)
    if manifest_path is None:
        raise UserError(
            "ids in DICOM headers are replaced by keyed hashes: give a key, the manifest's path, or keep_ids"
        )
    return key_beside(manifest_path)


def _picture_rows(path: str, headers: Mapping[str, Header], mask: str, how: _Pictures) -> list[Row]:
    """A picture or volume as one row, or each volume of a 4-D NIfTI and, where they are asked for, each page
    of a TIFF as one. A mask of as many pages has one for each."""
    header = headers[path]
    if header.frames == 1 or (header.kind == "tiff" and not how.pages):
        return [Row(path, mask=mask)]
    numbers = range(0, header.frames, how.every)
    if header.kind != "tiff":
        return [Row(f"{path}#frame/{number}", mask=mask) for number in numbers]
    paged = bool(mask) and headers[mask].kind == "tiff" and headers[mask].frames == header.frames
    return [
        Row(
            f"{path}#frame/{number}",
            mask=f"{mask}#frame/{number}" if paged else mask,
            study_id=path,
            extra=place_of(number),
        )
        for number in numbers
    ]


def _with_folder_columns(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """The rows with what their folders say, and what is to be said of folders that are not clear."""
    said = columns_from_folders([row.path for row in rows])
    filled = [
        replace(row, split=columns.split, label=columns.label, finding=columns.finding)
        for row, columns in zip(rows, said, strict=True)
    ]
    return filled, unclear_folders(said)


def _with_listed_columns(rows: Sequence[Row], found: Found) -> list[Row]:
    """The rows as the split file places their files; frames of a file are placed alike."""
    return [
        found.files[row.path if row.path in found.files else row.path.rpartition("#frame/")[0]].placed(row)
        for row in rows
    ]


def _only_filled(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows without further columns that are empty in all of them."""
    filled = {name for row in rows for name, value in row.extra.items() if value}
    return tuple(replace(row, extra={k: v for k, v in row.extra.items() if k in filled}) for row in rows)
