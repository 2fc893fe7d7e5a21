"""Which format a file is of, told by its first bytes and never by its name."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

ZIP_MAGIC = b"PK\x03\x04"
ARE_READ = (
    "DICOM, NIfTI, Analyze, NRRD, MetaImage, MGH, PNG, JPEG, TIFF, BMP, PNM, GIF, WebP, .npy and .npz "
    "are read"
)
TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")
_LOOKED_AT = 512
_AS_PICTURE = "save it as PNG or TIFF"
_UNPACKED = "unpack it, and list the folder"


def _begins(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(starts)


_OTHERS: tuple[tuple[str, str, Callable[[bytes], bool]], ...] = (
    ("an NRRD image", "unpack it first, with gunzip", _begins(b"NRRD0")),
    ("a MetaImage (.mha, .mhd)", "unpack it first, with gunzip", _begins(b"ObjectType =", b"NDims =")),
    (
        "a NIfTI whose header does not say that it is one, or an Analyze header that says no type",
        "convert it, with its .img where it has one, to NIfTI (.nii)",
        lambda data: data[:4] in (b"\x5c\1\0\0", b"\0\0\1\x5c") and len(data) >= 348,
    ),
    ("a JPEG 2000 picture", _AS_PICTURE, _begins(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")),
    (
        "a HEIF or AVIF picture",
        _AS_PICTURE,
        lambda data: data[4:12] in (b"ftypheic", b"ftypmif1", b"ftypavif"),
    ),
    ("an HDF5 file", "save its images as PNG, TIFF or NIfTI, or in an .npz", _begins(b"\x89HDF\r\n\x1a\n")),
    ("a MATLAB file (.mat)", "save its images as PNG, TIFF or NIfTI, or in an .npz", _begins(b"MATLAB 5.0")),
    ("a PDF document", "export its images as PNG or DICOM", _begins(b"%PDF-")),
    ("a tar archive", _UNPACKED, lambda data: data[257:262] == b"ustar"),
    ("a 7z archive", _UNPACKED, _begins(b"7z\xbc\xaf\x27\x1c")),
    ("a RAR archive", _UNPACKED, _begins(b"Rar!\x1a\x07")),
    ("an empty zip archive", "copy it again", _begins(b"PK\5\6")),
)
"""Kinds of files that lie beside images, what to do with them, and how their first bytes tell them."""


def format_of(data: bytes) -> str | None:
    """The format (as `Header.kind` names it) or None, from a file's first KiB."""
    from secondread.images.formats.bmp import is_bmp
    from secondread.images.formats.grids.metaimage_header import is_metaimage
    from secondread.images.formats.grids.mgh_header import is_mgh
    from secondread.images.formats.grids.nrrd_header import is_nrrd
    from secondread.images.formats.gzipped import GZIP_MAGIC, gunzip_start
    from secondread.images.formats.nifti_header import HEADER_BYTES, is_nifti
    from secondread.images.formats.nifti_pair import is_analyze
    from secondread.images.formats.npy import NPY_MAGIC
    from secondread.images.formats.png_stream import PNG_MAGIC
    from secondread.images.formats.pnm import is_pnm
    from secondread.images.formats.raster import JPEG_MAGIC
    from secondread.images.formats.web_picture import web_kind

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
    if data.startswith(NPY_MAGIC):
        return "npy"
    unpacked = gunzip_start(data, HEADER_BYTES) if data[:2] == GZIP_MAGIC else data[:HEADER_BYTES]
    if is_nifti(unpacked) or is_analyze(unpacked):
        return "nifti"
    if is_mgh(unpacked):
        return "mgh"
    if is_bmp(data):
        return "bmp"
    if is_pnm(data):
        return "pnm"
    if (web := web_kind(data)) is not None:
        return web
    if is_nrrd(data):
        return "nrrd"
    if is_metaimage(data):
        return "metaimage"
    return "dicom" if is_dicom(data) else None


def what_else(data: bytes, path: Path | None = None) -> tuple[str, str]:
    """What a file that is no image that is read seems to be, and what to do, from its first KiB and from what
    lies beside it."""
    from secondread.images.formats.gzipped import GZIP_MAGIC, gunzip_start
    from secondread.images.formats.nifti_pair import header_beside

    packed = data[:2] == GZIP_MAGIC
    start = gunzip_start(data, _LOOKED_AT) if packed else data[:_LOOKED_AT]
    header = None if path is None else header_beside(path)
    if header is not None:
        return "the voxels of an image in two files", f"give its header, {header.name}"
    for kind, advice, is_one in _OTHERS:
        if is_one(start):
            return f"{kind}{', compressed by gzip' if packed else ''}, which is not read", advice
    if packed:
        return "compressed by gzip, and no NIfTI", "unpack it first, with gunzip"
    if looks_like_text(data[:512]):
        return "a text file, not an image", ARE_READ
    return "not a format that is read (its first bytes are no known image's)", ARE_READ


def looks_like_text(start: bytes) -> bool:
    """Whether a file's first bytes are UTF-8 without control characters; the last character may be cut."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(letter.isprintable() or letter in "\t\n\r\f\ufeff" for letter in text)


def is_dicom(start: bytes) -> bool:
    """Whether a file's first bytes are DICOM's: the preamble, or an element of group 2 or 8 without one."""
    if start[128:132] == b"DICM":
        return True
    if start[:2] not in _FIRST_GROUPS or len(start) < 16:
        return False
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    return explicit or int.from_bytes(start[4:8], "little") < 1 << 16
