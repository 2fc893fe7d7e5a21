"""Auxiliary images: from elsewhere, neither normal nor abnormal (textures for synthetic anomalies, natural
images for teachers). A recipe names them in `cohorts.auxiliary`; no image of the test or of a held-out
cohort is one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from secondread.cohorts.listing.index import index
from secondread.cohorts.listing.npz_rows import image_members
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.images.formats.npz import list_members
from secondread.images.image import ImageError
from secondread.images.several_files import files_of
from secondread.images.workers.map_in_workers import call_in_worker
from secondread.wording.lists import few


def read_auxiliary(path: str | Path, *, workers: int = 1) -> Manifest:
    """The images of a folder (searched to its end, as `index` does), of an .npz (every array of images in
    it), or of a manifest, of which path, mask and patient count, and splits and labels do not.

    Raises UserError where nothing of the kind is there, or it holds no image that can be read.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        with tempfile.TemporaryDirectory(prefix="secondread-") as scratch:
            found = index(path, manifest_path=Path(scratch, "manifest.csv"), workers=workers).manifest
        rows = [Row(row.path, mask=row.mask) for row in found.rows]
        return Manifest(tuple(rows), found.base, str(path))
    if path.suffix.lower() == ".csv" and path.is_file():
        found = Manifest.read(path)
        rows = [Row(row.path, mask=row.mask, patient_id=row.patient_id) for row in found.rows]
        return replace(found, rows=tuple(rows))
    if path.suffix.lower() == ".npz" and path.is_file():
        return Manifest(tuple(_rows_of_archive(path, workers)), path.resolve().parent, str(path))
    what = "is no folder, no .npz and no .csv manifest" if path.exists() else "no such file or folder"
    raise UserError(
        f"cohorts.auxiliary: {path}: {what}; name a folder, an .npz or a manifest (.csv) of images that "
        "are neither normal nor abnormal"
    )


def auxiliary_rows(
    auxiliary: Manifest, manifest: Manifest, held_out: Iterable[Row]
) -> tuple[list[Row], list[str]]:
    """The auxiliary images with absolute paths, without those whose files or patients are the test's or a
    held-out cohort's, and notes."""
    apart = [row for row in manifest.rows if row.split == "test"]
    apart += held_out
    files = {file for row in apart for file in _files(manifest.reference(row))}
    patients = {row.patient_id for row in apart if row.patient_id}
    kept, left = [], []
    for row in auxiliary.rows:
        reference = auxiliary.reference(row)
        if row.patient_id in patients or not files.isdisjoint(_files(reference)):
            left.append(row.path)
        else:
            kept.append(replace(row, path=reference, mask=auxiliary.mask_reference(row) or ""))
    notes = []
    if left:
        notes.append(
            f"{len(left)} image(s) left out of auxiliary, being test or held-out images, or of their "
            f"patients: {few(left, 3)}"
        )
    return kept, notes


def _files(reference: str) -> list[str]:
    return [os.path.realpath(file) for file in files_of(reference)]


def _rows_of_archive(path: Path, workers: int) -> Iterable[Row]:
    try:
        members = call_in_worker(list_members, str(path), workers=workers)
        rows = [Row(f"{path.name}#{member}") for member in image_members(str(path), members)]
    except ImageError as error:
        raise UserError(f"cohorts.auxiliary: {error}") from error
    if not rows:
        raise UserError(f"cohorts.auxiliary: {path}: no array in it holds images (three axes or more)")
    return rows
