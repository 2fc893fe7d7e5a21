"""A folder, DICOM tree or archive becomes a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from secondread.cohorts.listing.given.labels import GivenLabels
from secondread.cohorts.listing.key_map import MappedStudy
from secondread.cohorts.listing.listing import listing
from secondread.cohorts.listing.options import IndexOptions
from secondread.cohorts.listing.set_aside import SetAside
from secondread.cohorts.manifest import Manifest
from secondread.images.formats.nifti_slices import Plane
from secondread.settings.arguments import checked


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


@checked
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
    how = IndexOptions(
        manifest_path=manifest_path, as_images=as_images, keep_ids=keep_ids, keep_derived=keep_derived,
        key=key, normal_class=normal_class, split_file=split_file, channels=channels, every=every,
        labels=labels, patient=patient, masks=masks, volume_parts=volume_parts, plane=plane, slices=slices,
        folders_as_sequences=folders_as_sequences, clips_whole=clips_whole, workers=workers,
    )  # fmt: skip
    with listing(src, how) as found:
        manifest = Manifest(tuple(found.rows()), found.base, str(src)).where(*where)
        return IndexResult(
            manifest,
            found.set_aside,
            found.warnings,
            found.key_path,
            found.missing,
            found.studies(manifest.rows) if with_studies else (),
        )
