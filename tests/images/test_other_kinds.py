"""Files of kinds that are not read: the line says what they are and what to do."""

import gzip
import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image as Picture

from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.images.read_header import read_header


def picture(kind: str) -> bytes:
    stream = io.BytesIO()
    Picture.fromarray(np.zeros((9, 9), np.uint8)).save(stream, kind)
    return stream.getvalue()


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.dcm"))
    return stream.getvalue()


def packed(data: bytes) -> bytes:
    """The same bytes at any time, since they name the test."""
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (picture("JPEG2000"), "a JPEG 2000 picture"),
        (packed(b"NRRD0004\ntype: short\n\n\0\1"), "an NRRD image, compressed by gzip, .*; unpack it"),
        (packed(b"NDims = 3\nElementDataFile = m.raw\n"), "a MetaImage .*gzip.*unpack it first"),
        (b"\x5c\1\0\0" + bytes(344), "or an Analyze header that says no type"),
        (tar(), "a tar archive.*unpack it"),
        (packed(tar()), "a tar archive, compressed by gzip"),
        (packed(b"something else"), "compressed by gzip, and no NIfTI; unpack it"),
        (b"%PDF-1.4\n%\xe2\xe3", "a PDF document"),
        (b"of no kind\0\1\2", "first bytes are no known image's"),
    ],
)
def test_the_kind_is_named_with_what_to_do(tmp_path, content, told):
    path = tmp_path / "file"
    path.write_bytes(content)
    for read in (read_image, read_header):
        with pytest.raises(ImageError, match=told):
            read(path)


def test_a_zip_archive_of_images_is_to_be_unpacked(tmp_path):
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", picture("PNG"))
    with pytest.raises(ImageError, match="a zip archive that holds no NumPy arrays; unpack it"):
        read_image(path)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("a.PNG", "there is a.png: write it with the same small and capital letters"),
        ("A.png", "there is a.png"),
        ("sub\\\\a.png", "write / in place of"),
        ("~/a.png", "write the whole path"),
        ("file:///a.png", "write the path of a file"),
        ("b.png", "check the path, and what it is relative to"),
    ],
)
def test_a_path_where_nothing_lies_says_what_may_be_wrong_with_it(tmp_path, written, told):
    (tmp_path / "a.png").write_bytes(picture("PNG"))
    with pytest.raises(ImageError, match=told):
        read_image(f"{tmp_path}/{written}")
