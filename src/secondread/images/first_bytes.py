"""Which format a file is of, told by its first bytes and never by its name."""

from __future__ import annotations

import codecs

from secondread.images.dicom.dataset import is_dicom

ZIP_MAGIC = b"PK\x03\x04"
TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


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
    if data[:4] in TIFF_MAGICS:
        return "tiff"
    if data[:4] == ZIP_MAGIC:
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
