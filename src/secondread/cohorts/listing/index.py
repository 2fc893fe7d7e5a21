"""A folder, DICOM tree or archive becomes a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from secondread.cohorts.labels.box_masks import BoxMasks
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
from secondread.cohorts.listing.given.brain_masks import with_brain_masks
from secondread.cohorts.listing.given.labels import GivenLabels
from secondread.cohorts.listing.given.mask_patterns import masks_by_patterns
from secondread.cohorts.listing.given.patients import patient_pattern, with_patients
from secondread.cohorts.listing.given.volume_parts import NOT_ZERO, VolumeParts
from secondread.cohorts.listing.header_warnings import header_warnings
from secondread.cohorts.listing.identities import hashing, key_beside, read_key
from secondread.cohorts.listing.key_map import MappedStudy, studies_of
from secondread.cohorts.listing.natural_order import natural
from secondread.cohorts.listing.npz_rows import read_archive, rows_of_archive
from secondread.cohorts.listing.pictures import HowPictures, with_pictures
from secondread.cohorts.listing.set_aside import SetAside
from secondread.cohorts.listing.split_file import SplitFile
from secondread.cohorts.listing.tree import TABLES, Tree, tree_of
from secondread.cohorts.listing.volume_slices import SliceChoice, in_slices
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row, counts_alone
from secondread.errors import DataError, UserError
from secondread.images.formats.nifti_slices import Plane
from secondread.images.image import ImageError


@dataclass(frozen=True)
class IndexResult:
    """The manifest (its base is the source's folder), what became no row, and what a person should know.

    `key_path` is the file that holds the key of the hashed ids, where one was used. `missing` are the names
    in a split file that no file has. `studies` say whose the rows are, where that was asked for.
    """

    manifest: Manifest
    set_aside: list[SetAside]
    warnings: list[str]
    key_path: Path | None
    missing: list[str] = field(default_factory=list)
    studies: tuple[MappedStudy, ...] = field(default=(), repr=False)


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
    labels: GivenLabels | None = None,
    patient: str = "",
    masks: Sequence[str] = (),
    volume_parts: str = "",
    plane: Plane = "axial",
    slices: str | None = None,
    folders_as_sequences: bool = False,
    clips_whole: bool = False,
    with_studies: bool = False,
    workers: int = 2,
) -> IndexResult:
    """List the images of a file or folder; nothing is written but, where it is needed, the key.

    src            a folder, searched to its end, or one file
    manifest_path  where the manifest will be written; the key of hashed ids lies beside it
    as_images      keep CT, MR and PT slices, the pages of a TIFF and the slices of a NIfTI volume as images
    keep_ids       leave the headers' patient and study ids as they are, instead of keyed hashes
    keep_derived   take derived CT, MR and PT series too
    key            a file with the key (see `identities`)
    where          filters on the columns
    normal_class   the label of an archive that means normal
    split_file     a published list of names (see `split_file`): only these files become rows, each as an
                   image, derived series too; it fills split and label, and no folder name does; no masks
    channels       words in the names of files that are the channels of one image, in their order (see
                   `joined_channels`)
    every          of a file's frames or slices, or of a sequence in a folder, only each `every`th is listed
    labels         a table that says the labels; folder names then say splits alone
    patient        a regular expression on paths that takes the patient's id out of them
    masks          patterns of the paths of masks (see `masks_by_patterns`), in place of the usual names
    volume_parts   which words in the names of files tell image, mask and brain (see `VolumeParts`)
    plane          of the slices of NIfTI volumes that are listed with `as_images`
    slices         which of them: `60-100`, or `30%-70%` of each volume; None = all
    folders_as_sequences   the pictures of one folder are the frames of one study, in the order in which
                   people count their names
    clips_whole    a DICOM file of several frames is one row, whatever its modality
    with_studies   also say whose the rows are, for a key map (see `key_map`)
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
    if src.is_file() and src.suffix.lower() in TABLES:
        raise UserError(
            f"{src}: a table, and index lists images: give the folder of the images, and the table with "
            "--labels"
        )
    choice = SliceChoice.parse(plane, slices)
    if slices is not None and not as_images:
        raise UserError("--slices chooses among the slices of volumes; add --as images")
    pattern = patient_pattern(patient) if patient else None
    parts = VolumeParts.parse(volume_parts) if volume_parts else None
    if parts and channels:
        raise UserError("--volume-parts and --channels both say what an image is; give one of them")
    table = labels.read() if labels is not None else None
    base = (src if src.is_dir() else src.parent).resolve()
    tree = tree_of(base) if src.is_dir() else Tree([src.name], [])
    paths = [path for path in tree.files if not _is_own(base / path, manifest_path)]
    outlined = masks_by_patterns(list(filter(is_text, paths)), masks, str(src)) if masks else None
    by_slices = as_images
    how = HowPictures(as_images, every, base.name if folders_as_sequences else "", parts, outlined)
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

    dicom = [
        DicomFile(path, header)
        for path, header in headers.items()
        if header.kind == "dicom" and (outlined is None or path not in outlined.files)
    ]
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
    listed = with_pictures(rows, headers, found, how)
    rows, lone_masks = listed.rows, listed.lone_masks
    aside += listed.aside
    archives = [path for path, header in headers.items() if header.kind == "npz"]
    if found is not None:
        aside += [SetAside(path, "an archive, and a split file names single images") for path in archives]
        archives = []
    archived, unread = _archived_rows(base, archives, normal_class, workers)
    aside += unread
    if channels:
        rows, unjoined = joined_channels(rows, channels, lone_masks)
        aside += unjoined
    taken = {row.mask for row in rows}
    aside += [
        SetAside(path, "mask that fits no image, or several") for path in lone_masks if path not in taken
    ]
    if not rows and not archived:
        raise UserError(f"{src}: every image was set apart; first: {aside[0]}")

    warnings = [*header_warnings(dicom), *(found.remarks(src) if found is not None else ())]
    warnings += listed.notes
    if table is not None:
        rows, said = table.applied(rows, headers, base, str(src), manifest_path, hashing(secret))
        warnings += said
    else:
        warnings += listed.unclear
    if pattern is not None:
        rows, said = with_patients(rows, pattern)
        warnings += said
    if parts is not None and parts.brain == NOT_ZERO:
        rows, lost = with_brain_masks(rows, base, BoxMasks.beside(_place(manifest_path)).folder, workers)
        aside += lost
    if by_slices:
        rows, lost, said = in_slices(rows, headers, base, choice, every, workers)
        aside += lost
        warnings += said
    rows += archived
    warnings += _assumptions(rows, archived, normal_class)
    rows.sort(key=lambda row: natural(row.path))
    manifest = Manifest(only_filled(rows), base, str(src)).where(*where)
    return IndexResult(
        manifest,
        aside,
        warnings,
        key_path,
        list(found.missing) if found else [],
        studies_of(manifest.rows, dicom) if with_studies else (),
    )


def _names_someone(file: DicomFile) -> bool:
    """Whether a header has an id that a row would carry; a clip without a study has its series' id."""
    header = file.header
    return bool(header.patient_id or header.study_uid or (header.frames > 1 and header.series_uid))


def _assumptions(rows: Sequence[Row], archived: Sequence[Row], normal_class: int) -> list[str]:
    """What was taken for granted of labels in archives and of patients."""
    lines = []
    if archived:
        lines.append(f"in archives, label {normal_class} was taken as normal and every other as abnormal")
    without = sum(map(counts_alone, rows))
    if without:
        lines.append(
            f"{without} of {len(rows)} images have no patient id: each counts as its own patient; --patient "
            "takes ids out of paths"
        )
    if not any(row.label for row in rows):
        lines.append(
            "no image has a label: take labels from a table with --labels, or write normal and abnormal into "
            "the column label"
        )
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


def _is_own(path: Path, manifest_path: str | Path | None) -> bool:
    """Whether a file is the manifest, or lies in its folder of masks."""
    if manifest_path is None:
        return False
    own = Path(manifest_path).resolve()
    return path == own or BoxMasks.beside(own).folder in path.parents


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


def only_filled(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows without further columns that are empty in all of them."""
    filled = {name for row in rows for name, value in row.extra.items() if value}
    return tuple(replace(row, extra={k: v for k, v in row.extra.items() if k in filled}) for row in rows)
