"""A reference becomes an image: the format is told by the file's first bytes, never by its name."""

from __future__ import annotations

import codecs
from dataclasses import replace
from pathlib import Path

from secondread.images.dicom.dataset import is_dicom
from secondread.images.dicom.series import Series, series_in_folder
from secondread.images.dicom.volume import read_series
from secondread.images.formats.npz import Member, list_members, read_npz
from secondread.images.image import Image, ImageError
from secondread.images.limits import ReadLimits
from secondread.images.refusal import refusing
from secondread.images.source import Reference, read_bytes

__all__ = ["Member", "ReadLimits", "Series", "list_members", "read_image", "series_in_folder"]

_DEFAULT = ReadLimits()
_ZIP_MAGIC = b"PK\x03\x04"
_TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_image(
    reference: str | Path, *, limits: ReadLimits = _DEFAULT, as_volume: bool | None = None
) -> Image:
    """The image that a reference names.

    A reference is a file, or `folder` (the folder's only DICOM series), `folder#<series key>`, `file#frame/N`
    (one frame of a DICOM, page of a TIFF or volume of a 4-D NIfTI) or `archive.npz#array/N`. With `as_volume`
    an image of the other rank is refused. Raises ImageError and nothing else.
    """
    found = Reference.parse(reference)
    with refusing(found.text):
        image = _read(found, limits)
    if as_volume is not None and as_volume != (image.rank == 3):
        wanted, got = ("a volume", "a 2-D image") if as_volume else ("a 2-D image", "a volume")
        raise ImageError(found.text, f"{got}, where {wanted} is asked for")
    return _with_word_of_alpha(image)


def _with_word_of_alpha(image: Image) -> Image:
    alpha = image.header.get("alpha", "")
    if alpha in ("", "opaque"):
        return image
    remarks = (*image.geometry.remarks, f"transparent in parts: alpha is {alpha}")
    return replace(image, geometry=replace(image.geometry, remarks=remarks))


def _read(reference: Reference, limits: ReadLimits) -> Image:
    if reference.path.is_dir():
        return read_series(reference, limits)
    if not reference.path.is_file():
        raise ImageError(reference.text, "not a regular file")
    with reference.path.open("rb") as stream:
        if stream.read(4) == _ZIP_MAGIC:
            return read_npz(reference, limits)
    data = read_bytes(reference.path, limits)
    kind = format_of(data)
    if kind == "dicom":
        from secondread.images.dicom.file import read_dicom

        return read_dicom(reference, data, limits)
    if kind == "nifti":
        from secondread.images.formats.nifti import read_nifti

        return read_nifti(reference, data, limits)
    if kind is not None:
        from secondread.images.formats import raster, tiff

        reader = {"png": raster.read_png, "jpeg": raster.read_jpeg, "tiff": tiff.read_tiff}[kind]
        return reader(reference, data, limits)
    raise ImageError(reference.text, what_else(data), "DICOM, NIfTI, PNG, JPEG, TIFF and .npz are read")


def format_of(data: bytes) -> str | None:
    """The format ("dicom", "nifti", "png", "jpeg", "tiff", "npz") or None, from a file's first KiB."""
    from secondread.images.formats.gzipped import GZIP_MAGIC, gunzip_start
    from secondread.images.formats.nifti_header import HEADER_BYTES, is_nifti
    from secondread.images.formats.png_stream import PNG_MAGIC
    from secondread.images.formats.raster import JPEG_MAGIC

    if data.startswith(PNG_MAGIC):
        return "png"
    if data.startswith(JPEG_MAGIC):
        return "jpeg"
    if data[128:132] == b"DICM":
        return "dicom"
    if data[:4] in _TIFF_MAGICS:
        return "tiff"
    if data[:4] == _ZIP_MAGIC:
        return "npz"
    unpacked = gunzip_start(data, HEADER_BYTES) if data[:2] == GZIP_MAGIC else data[:HEADER_BYTES]
    if is_nifti(unpacked):
        return "nifti"
    return "dicom" if is_dicom(data) else None


def what_else(data: bytes) -> str:
    """What a file that is no image seems to be."""
    if looks_like_text(data[:512]):
        return "a text file, not an image"
    return "not a format that is read (its first bytes are no known image's)"


def looks_like_text(start: bytes) -> bool:
    """Whether a file's first bytes are UTF-8 without control characters; the last character may be cut."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(letter.isprintable() or letter in "\t\n\r\f\ufeff" for letter in text)
