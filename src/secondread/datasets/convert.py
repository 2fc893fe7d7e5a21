"""From a data set's name and a person's folder to a manifest, and what to tell of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from secondread.cohorts.listing.file_reading import headers_of
from secondread.cohorts.listing.volume_slices import InSlices, SliceChoice
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row, counts_alone, only_filled
from secondread.datasets.dataset import Choices, Dataset
from secondread.datasets.layouts.repartition import own_list, placed
from secondread.datasets.names import dataset_named
from secondread.datasets.public_folder import located
from secondread.errors import DataError, UserError
from secondread.images.several_files import files_of
from secondread.natural_order import natural
from secondread.settings.arguments import checked
from secondread.wording.lists import few
from secondread.wording.numbers import count
from secondread.wording.short import Short


@dataclass(frozen=True, repr=False)
class Converted(Short):
    """A data set's images as a manifest, whose base is the root of the data set.

    guessed  what was taken for granted, each in one line
    notes    what else a person should know
    missing  names in a repartition that no file has
    """

    dataset: type[Dataset]
    manifest: Manifest
    guessed: tuple[str, ...]
    notes: tuple[str, ...]
    missing: tuple[str, ...] = field(default=(), repr=False)


@checked
def dataset(
    name: str,
    folder: str | Path,
    *,
    protocol: str = "",
    part: str = "",
    normal: Sequence[str] = (),
    readers: int | None = None,
    modality: str = "",
    slices: str = "",
    manifest_path: str | Path | None = None,
    split_file: str | Path | None = None,
    where: Sequence[str] = (),
    workers: int = 2,
) -> Converted:
    """The images of a public data set as they lie in a folder.

    protocol … slices   what a person says of the set, where it takes it (see `Choices`); `secondread
                   dataset NAME` tells what each set takes
    manifest_path  where the manifest will be written; masks that are made from boxes lie beside it
    split_file     a published list of names (`data.json`, see `SplitFile`): only its images become rows
    where          filters on the columns
    workers        processes that read the headers and masks that a converter has to read; 0 = this one

    Raises UserError for an unknown name, a choice that the set does not take, and a folder in which something
    of the layout is missing.

    >>> import numpy, pathlib, secondread
    >>> from PIL import Image
    >>> for place in ("train/NORMAL", "test/NORMAL", "test/PNEUMONIA"):
    ...     pathlib.Path("chest_xray", place).mkdir(parents=True)
    ...     film = Image.fromarray(numpy.zeros((8, 8), numpy.uint8))
    ...     film.save(pathlib.Path("chest_xray", place, "person1_virus_6.jpeg"))
    >>> secondread.dataset("kermany-cxr", "chest_xray", workers=0).manifest
    <Manifest chest_xray of 3 images; test: 1 abnormal + 1 normal, train: 1 normal>
    """
    kind = dataset_named(name)
    choices = Choices(protocol, part, tuple(normal), readers, modality, slices)
    kind.check(choices)
    place = located(Path(folder), kind.forms, kind.hint, f"get the data set from {kind.source}")
    found = kind(place, choices)
    found.masks_beside = Path(manifest_path) if manifest_path is not None else None
    found.workers = workers
    rows = list(found.rows())
    if not rows:
        raise UserError(
            f"{place.root}: the folders of {kind.name()} are there and hold no image; unpack its archives"
        )
    notes: list[str] = [*found.notes]
    if choices.slices:
        rows, said = _in_slices(rows, place.root, choices.slices, workers)
        notes += said
    missing: list[str] = []
    listed = Path(split_file) if split_file is not None else own_list(place)
    if listed is not None:
        rows, said, missing = placed(rows, listed, place.root)
        notes += said
    rows.sort(key=lambda row: natural(row.path))
    manifest = Manifest(only_filled(rows), place.root, str(folder)).where(*where)
    notes += _of_patients(manifest.rows)
    return Converted(kind, manifest, tuple(found.guessed), tuple(notes), tuple(missing))


def _in_slices(rows: Sequence[Row], root: Path, which: str, workers: int) -> tuple[list[Row], list[str]]:
    """The rows with each volume as axial slices, and what to say of them. Raises DataError where a volume or
    its mask cannot be read."""
    choice = SliceChoice.parse("axial", None if which == "all" else which)
    files = dict.fromkeys(files_of(row.path, root)[0] for row in rows)
    headers, unread = headers_of(root, list(files), workers)
    cut = InSlices(headers, root, choice, 1, workers)
    sliced = cut(rows)
    if lost := [*unread, *cut.aside]:
        raise DataError(f"{root}: {count(len(lost), 'volume')} cannot be cut into slices; first: {lost[0]}")
    return sliced, cut.notes


def _of_patients(rows: Sequence[Row]) -> list[str]:
    """What the ids of patients allow, and what they forbid."""
    said = []
    without = sum(map(counts_alone, rows))
    if without:
        said.append(
            f"{without:,} of {count(len(rows), 'image')} without a patient id: each counts as its own patient"
        )
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.patient_id and row.split:
            splits[row.patient_id].add(row.split)
    several = [patient for patient, found in splits.items() if len(found) > 1]
    if several:
        said.append(
            f"{count(len(several), 'patient has', 'patients have')} images in several splits: "
            f"{few(several, 3)}; the split is as published, and `fit` refuses test patients in train without "
            "--allow-shared-patients"
        )
    return said
