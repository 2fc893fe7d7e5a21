"""A reference becomes an image: the format is told by the file's first bytes, never by its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from secondread.images.dicom.series import Series, series_in_folder
from secondread.images.dicom.volume import read_series
from secondread.images.first_bytes import ZIP_MAGIC, format_of, looks_like_text, what_else
from secondread.images.formats import vector_table
from secondread.images.formats.nifti_slices import slice_named, slice_of
from secondread.images.formats.npz import Member, list_members, read_npz
from secondread.images.header import VOLUME_KINDS
from secondread.images.image import Image, ImageError
from secondread.images.kept_file import kept_bytes, let_go, made_once
from secondread.images.limits import ReadLimits
from secondread.images.refusal import refusing
from secondread.images.several_files import as_one_image, files_of
from secondread.images.source import Reference, read_bytes

__all__ = ["Member", "ReadLimits", "Series", "list_members", "read_image", "series_in_folder"]

_DEFAULT = ReadLimits()


def read_image(
    reference: str | Path, *, limits: ReadLimits = _DEFAULT, as_volume: bool | None = None
) -> Image:
    """The image that a reference names.

    A reference is a file, or `folder` (the folder's only DICOM series), `folder#<series key>`, `file#frame/N`
    (one frame of a DICOM, page of a TIFF or volume of a 4-D NIfTI, NRRD or MetaImage),
    `scan.nii.gz#slice/axial/N` (one slice of such a volume, or `coronal`, `sagittal`; see
    `formats.nifti_slices`), `archive.npz#array/N` or `features.csv#row/N` (a vector, as an image of one row);
    or several of these, separated by `|`, each a channel of one image (see `several_files`). With `as_volume`
    an image of the other rank is refused. Raises ImageError and nothing else.

    >>> import secondread
    >>> _ = secondread.make_phantoms("phantoms", seed=0, n_normal=1, n_abnormal=0)
    >>> secondread.read_image("phantoms/train/normal/00000-pa.png").pixels.shape
    (1, 128, 128)
    """
    files = files_of(str(reference))
    if len(files) > 1:
        return as_one_image(
            [_read_part(file, str(reference), limits, as_volume) for file in files], str(reference)
        )
    found = Reference.parse(reference)
    with refusing(found.text):
        image = _read(found, limits)
    if as_volume is not None and as_volume != (image.rank == 3):
        wanted, got = ("a volume", "a 2-D image") if as_volume else ("a 2-D image", "a volume")
        raise ImageError(found.text, f"{got}, where {wanted} is asked for")
    return _with_word_of_alpha(image)


def _read_part(file: str, whole: str, limits: ReadLimits, as_volume: bool | None) -> Image:
    """One of several files; its error names all of them first, for that is what the image is called."""
    if not file:
        raise ImageError(whole, "names an empty file between two |", "write a path on each side of a |")
    try:
        return read_image(file, limits=limits, as_volume=as_volume)
    except ImageError as error:
        raise ImageError(whole, f"{file}: {error.problem}", error.advice) from error


def _with_word_of_alpha(image: Image) -> Image:
    alpha = image.header.get("alpha", "")
    if alpha in ("", "opaque"):
        return image
    remarks = (*image.geometry.remarks, f"transparent in parts: alpha is {alpha}")
    return replace(image, geometry=replace(image.geometry, remarks=remarks))


def _bytes_of(reference: Reference, limits: ReadLimits) -> bytes:
    """The file's bytes; those of a file of which one frame is asked for are kept for the next one."""
    if reference.member is not None:
        return kept_bytes(reference.path, lambda: read_bytes(reference.path, limits))
    let_go()
    return read_bytes(reference.path, limits)


def _read(reference: Reference, limits: ReadLimits) -> Image:
    if reference.path.is_dir():
        return read_series(reference, limits)
    if not reference.path.is_file():
        raise ImageError(reference.text, "not a regular file")
    with reference.path.open("rb") as stream:
        if stream.read(4) == ZIP_MAGIC:
            return read_npz(reference, limits)
    data = _bytes_of(reference, limits)
    kind = format_of(data)
    if kind == "dicom":
        from secondread.images.dicom.file import read_dicom

        return read_dicom(reference, data, limits)
    if kind in VOLUME_KINDS:
        return _read_volume(reference, kind, data, limits)
    if kind is not None:
        from secondread.images.formats import bmp, npy, pnm, raster, tiff, web_picture

        if kind in web_picture.WEB_KINDS:
            return web_picture.read_web_picture(reference, kind, data, limits)
        readers = {
            "png": raster.read_png,
            "jpeg": raster.read_jpeg,
            "tiff": tiff.read_tiff,
            "bmp": bmp.read_bmp,
            "pnm": pnm.read_pnm,
            "npy": npy.read_npy,
        }
        return readers[kind](reference, data, limits)
    if (reference.member or "").startswith(f"{vector_table.MEMBER}/") and looks_like_text(data[:512]):
        return vector_table.read_vector(reference, data, limits)
    raise ImageError(reference.text, *what_else(data, reference.path))


def _read_volume(reference: Reference, kind: str, data: bytes, limits: ReadLimits) -> Image:
    """A volume, or one of its slices; all slices are of one volume that is decoded once."""
    from secondread.images.formats.grids.read_grid import data_state, read_grid
    from secondread.images.formats.nifti import read_nifti, voxels_state

    def read(whole: Reference) -> Image:
        if kind == "nifti":
            return read_nifti(whole, data, limits)
        return read_grid(whole, kind, data, limits)

    place = slice_named(reference.member)
    if place is None:
        return read(reference)
    frame, axis, number = place
    whole = Reference(reference.text, reference.path, frame)
    beside = voxels_state(reference, data) if kind == "nifti" else data_state(reference, kind, data)
    volume = made_once(
        data, f"volume {frame} {beside}", lambda: read(whole), size=lambda made: made.pixels.nbytes
    )
    return slice_of(volume, axis, number, reference.text)
