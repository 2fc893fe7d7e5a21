"""What a person gives to score becomes a list of images: manifests, folders, archives, single files."""

from __future__ import annotations

import contextlib
import csv
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from secondread import tables
from secondread.cohorts.listing.identities import key_mark, read_key
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.manifest_file import ManifestFile
from secondread.cohorts.row import Row
from secondread.cohorts.sequences import frame_of
from secondread.errors import DataError, UserError
from secondread.images.first_bytes import format_of
from secondread.images.formats.npz import list_members
from secondread.images.header import VOLUME_KINDS, Header
from secondread.images.image import ImageError
from secondread.images.read_header import read_header
from secondread.images.several_files import files_of
from secondread.images.workers.map_in_workers import map_in_workers
from secondread.images.workers.outcome import Done, Failed
from secondread.parquet import is_parquet
from secondread.readings.streamed.item import Item
from secondread.readings.streamed.items import Items
from secondread.wording.one_text import refuse_one_text
from secondread.wording.short import Short

if TYPE_CHECKING:
    from secondread.cohorts.listing.index import IndexResult
    from secondread.cohorts.listing.key_map import MappedStudy

Source = str | Path | Manifest
_START = 1024
"""Bytes that tell a format."""


@dataclass(frozen=True, repr=False)
class Inputs(Short):
    """The images to be read, in order, each once.

    manifest         the manifest's file, where one manifest is the whole input
    manifest_digest  of its rows after filters
    base             the folder that `path`s are relative to; None where all are absolute
    set_apart        what a folder holds that is not to be scored (localisers, derived series), and why
    notes            what a person should know of the manifests' columns
    key_mark         a hash that tells one key of hashed ids from another; None where no id was hashed
    studies          whose the images of DICOM folders are, where that was asked for
    """

    items: Sequence[Item]
    manifest: str | None = None
    manifest_digest: str | None = None
    base: str | None = None
    set_apart: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    key_mark: str | None = None
    studies: tuple[MappedStudy, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class _Reading:
    """How folders and clips are read: filters, processes, the key under which DICOM ids are hashed, the rank
    of the images that are wanted (0 = any), and which frames."""

    where: Sequence[str]
    workers: int
    key: Path | None
    beside: Path
    rank: int
    every: int
    folders_as_sequences: bool
    with_studies: bool

    def index(self, source: Path, *, workers: int, keep_derived: bool = False) -> IndexResult:
        from secondread.cohorts.listing.index import index  # one file needs no listing

        return index(
            source,
            manifest_path=self.beside,
            as_images=self.rank == 2,
            keep_derived=keep_derived,
            key=self.key,
            where=self.where,
            every=self.every,
            folders_as_sequences=self.folders_as_sequences,
            clips_whole=self.rank == 3,
            with_studies=self.with_studies,
            workers=workers,
        )


def gather(
    sources: Source | Sequence[Source],
    *,
    where: Sequence[str] = (),
    workers: int = 1,
    key: str | Path | None = None,
    key_beside: str | Path | None = None,
    rank: int = 0,
    every: int = 1,
    folders_as_sequences: bool = False,
    with_studies: bool = False,
) -> Inputs:
    """The images of one or several sources.

    key         file with the key under which the ids of DICOM folders are hashed (see `identities`)
    key_beside  without `key`: the key is `<key_beside>.key`, made where it is needed and missing; without
                both, a key is drawn and not kept, so that study ids hold for these inputs alone
    rank        of the images that are wanted: for 2 a DICOM or TIFF of several frames and a NIfTI volume,
                given or in a folder, give each frame or axial slice as an image of one study, and folders
                give slices as images; for 3
                it is one image; 0 = as `index` lists folders, and files as they are
    every       of the frames of a file or folder, only each `every`th; a manifest says itself which it wants
    folders_as_sequences   the pictures of each folder are the frames of one study
    with_studies  also say whose the images of DICOM folders are, for a key map

    A CSV with a column `path`, or a Parquet file, is a manifest; a folder is walked as `secondread index`
    does; an npz gives all its images; anything else is one image. Raises UserError where a source does not
    exist, there is nothing to read, or `where` is given for something that has no columns.
    """
    refuse_one_text(where, "where")
    listed: Sequence[Source] = [sources] if isinstance(sources, str | Path | Manifest) else list(sources)
    if not listed:
        raise UserError("nothing to score; give a manifest, a folder or files")
    if len(listed) == 1:
        only = listed[0]
        if isinstance(only, Manifest):
            return of_manifest(only.where(*where))
        if _is_manifest(Path(only)):
            return _of_manifest_file(ManifestFile(Path(only), tuple(where)))
    with contextlib.ExitStack() as stack:
        if key_beside is None:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="secondread-"))
            key_beside = Path(scratch, "manifest.csv")
        how = _Reading(
            where,
            workers,
            None if key is None else Path(key),
            Path(key_beside),
            rank,
            every,
            folders_as_sequences,
            with_studies,
        )
        apart = {**(_clips_among(listed, how) if rank == 2 else {}), **_archives_among(listed, how)}
        gathered = [
            apart[position] if position in apart else _items_of(source, how)
            for position, source in enumerate(listed)
        ]
    items = [item for found in gathered for item in found.items]
    return Inputs(
        _unique(items),
        base=None if all(os.path.isabs(item.path) for item in items) else os.getcwd(),
        set_apart=tuple(line for found in gathered for line in found.set_apart),
        notes=tuple(line for found in gathered for line in found.notes),
        key_mark=next((found.key_mark for found in gathered if found.key_mark), None),
        studies=tuple(study for found in gathered for study in found.studies),
    )


def as_manifest(source: Source) -> Manifest | None:
    """The manifest that a source is, or None."""
    if isinstance(source, Manifest):
        return source
    path = Path(source)
    return Manifest.read(path) if _is_manifest(path) else None


def _is_manifest(path: Path) -> bool:
    return path.is_file() and is_table(path)


def is_table(path: Path) -> bool:
    """Whether a file's name, first bytes or first line say that it is a manifest."""
    if path.suffix.lower() == ".csv" or is_parquet(path):
        return True
    with open(path, "rb") as file:
        line = file.readline(4096)
    try:
        return (
            "path" in next((cells for _, cells in tables.read([line.decode("utf-8-sig")])), [])
            and b"," in line
        )
    except (UnicodeDecodeError, csv.Error):
        return False


def of_manifest(manifest: Manifest) -> Inputs:
    items = Item.of_rows(manifest.rows, lambda row: row.path, manifest.reference)
    return Inputs(
        items=_unique(items),
        manifest=str(Path(manifest.source).absolute()) if manifest.source else None,
        manifest_digest=manifest.digest,
        base=str(manifest.base),
        notes=manifest.notes,
    )


def _of_manifest_file(manifest: ManifestFile) -> Inputs:
    """The images of a manifest whose rows are not held."""
    items = Items()
    seen = manifest.looked_through(lambda row: items.append(Item.of_row(row, manifest.reference(row))))
    items.number_frames()
    return Inputs(
        items=items,
        manifest=str(manifest.path.absolute()),
        manifest_digest=seen.digest,
        base=str(manifest.base),
        notes=seen.notes,
    )


def _unique(items: Iterable[Item]) -> Items:
    return Items({item.path: item for item in items}.values())


def _items_of(source: Source, how: _Reading) -> Inputs:
    manifest = as_manifest(source)
    if manifest is not None:
        kept = manifest.where(*how.where)
        return Inputs(tuple(Item.of_rows(kept.rows, kept.reference, kept.reference)), notes=kept.notes)
    if isinstance(source, Manifest):  # pragma: no cover - as_manifest has returned it
        raise TypeError
    text = str(source)
    file = Path(text)
    if file.is_dir():
        return _of_folder(file, how)
    _refuse_conditions(text, how)
    for part in files_of(text):
        if not Path(part).exists() and not Path(part.rpartition("#")[0] or part).exists():
            raise UserError(f"{part}: no such file or folder")
    return Inputs((Item(text, text, frame=frame_of(Row(text))),))


def _refuse_conditions(file: str, how: _Reading) -> None:
    if how.where:
        raise UserError(f"{file}: --where filters rows of a manifest or folder, and this is one file")


def _clips_among(sources: Sequence[Source], how: _Reading) -> dict[int, Inputs]:
    """The frames or slices of each file that holds several, by its position among the sources. One set of
    workers reads all headers."""
    files = {
        position: str(source)
        for position, source in enumerate(sources)
        if isinstance(source, str | Path) and _may_hold_frames(Path(source))
    }
    headers = map_in_workers(read_header, list(files.values()), workers=min(how.workers, len(files)))
    clips = [
        position
        for position, found in zip(files, headers, strict=True)
        if isinstance(found, Done) and (found.value.frames > 1 or _is_volume(found.value))
    ]
    return {position: _of_clip(files[position], how) for position in clips}


def _archives_among(sources: Sequence[Source], how: _Reading) -> dict[int, Inputs]:
    """Every image of each archive among the sources, by its position; one that cannot be listed is one item
    with its problem. All are listed by one set of workers."""
    from secondread.cohorts.listing.npz_rows import image_members

    files = {position: str(source) for position, source in enumerate(sources) if _is_archive(source)}
    for file in files.values():
        _refuse_conditions(file, how)
    listed = map_in_workers(list_members, list(files.values()), workers=min(how.workers, len(files)))
    found = {}
    for (position, path), members in zip(files.items(), listed, strict=True):
        try:
            if isinstance(members, Failed):
                raise members.error
            names = [f"{path}#{name}" for name in image_members(path, members.value)]
            found[position] = Inputs(tuple(Item(name, name) for name in names))
        except ImageError as error:
            problem = f"{error.problem}; {error.advice}" if error.advice else error.problem
            found[position] = Inputs((Item(path, path, problem=problem),))
    return found


def _is_archive(source: Source) -> bool:
    return isinstance(source, str | Path) and Path(source).suffix.lower() == ".npz" and Path(source).is_file()


def _may_hold_frames(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            start = file.read(_START)
        return format_of(start) in ("dicom", "tiff", *VOLUME_KINDS)
    except OSError:
        return False


def _is_volume(header: Header) -> bool:
    """Whether `index` lists a file's slices where pictures are wanted."""
    return header.has_slices


def _of_clip(path: str, how: _Reading) -> Inputs:
    """The frames of one file, as `index` lists them."""
    _refuse_conditions(path, how)
    folder = Path(path).parent
    try:
        found = how.index(Path(path), workers=0, keep_derived=True)  # a worker has read its header
    except (UserError, DataError):
        return Inputs((Item(path, path),))  # read as it is, it says itself what is wrong
    return Inputs(_listed(found, folder), key_mark=_mark_of(found), studies=found.studies)


def _listed(found: IndexResult, folder: Path) -> tuple[Item, ...]:
    def whole(row: Row) -> str:
        return str(folder / row.path)

    return tuple(Item.of_rows(found.manifest.rows, whole, whole))


def _of_folder(folder: Path, how: _Reading) -> Inputs:
    """Every image below a folder. A file that cannot be read is an item with its problem, and what
    `index` sets apart on purpose is listed."""
    found = how.index(folder, workers=how.workers)
    items = list(_listed(found, folder))
    broken = [aside for aside in found.set_aside if aside.unreadable]
    items += [
        Item(str(folder / aside.path), str(folder / aside.path), problem=aside.reason) for aside in broken
    ]
    if not items:
        raise DataError(f"{folder}: nothing in it is an image")
    return Inputs(
        tuple(items),
        set_apart=tuple(str(aside) for aside in found.set_aside if not aside.unreadable),
        key_mark=_mark_of(found),
        studies=found.studies,
    )


def _mark_of(found: IndexResult) -> str | None:
    return None if found.key_path is None else key_mark(read_key(found.key_path))
