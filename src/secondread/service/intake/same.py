"""Whether two files hold the same data set, whoever wrote the File Meta Information before it."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from pydicom.filereader import read_file_meta_info

BLOCK = 1 << 20


def same_data_set(one: Path, other: Path) -> bool:
    """False also where one of them cannot be read, or is encoded in another transfer syntax."""
    try:
        with one.open("rb") as first, other.open("rb") as second:
            if _after_meta(first) != _after_meta(second):
                return False
            while True:
                block = first.read(BLOCK)
                if block != second.read(BLOCK):
                    return False
                if not block:
                    return True
    except Exception:
        return False


def _after_meta(file: BinaryIO) -> str:
    """The transfer syntax; the file stands where the data set begins."""
    meta = read_file_meta_info(file.name)
    length = int(meta.FileMetaInformationGroupLength)
    file.seek(128 + 4 + 12 + length)
    return str(meta.TransferSyntaxUID)
