"""Files that once ended `index` or `score FOLDER` as a whole, or filled its memory.

Each lies beside a good picture: it is refused with one line, and the good one is listed.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
)

from secondread.cohorts.listing.index import index
from secondread.readings.inputs import gather


def npy(header: str, data: bytes = bytes(100)) -> bytes:
    text = header.encode()
    text += b" " * ((64 - (10 + len(text) + 1) % 64) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def archive(array: bytes, method: int = zipfile.ZIP_STORED, name: str = "train_images") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as packed:
        packed.writestr(f"{name}.npy", array)
    return buffer.getvalue()


def shaped(shape: str) -> str:
    return f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"


def encrypted() -> bytes:
    data = bytearray(archive(npy(shaped("(2, 5, 10)"))))
    data[data.find(b"PK\x01\x02") + 8] |= 1
    data[data.find(b"PK\x03\x04") + 6] |= 1
    return bytes(data)


def damaged(method: int) -> bytes:
    data = bytearray(archive(np.random.default_rng(0).bytes(500), method))
    data[60:90] = b"\xff" * 30
    return bytes(data)


def labels(values: bytes, header: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("train_images.npy", npy(shaped("(2, 5, 10)")))
        packed.writestr("train_labels.npy", npy(header, values))
    return buffer.getvalue()


def frames(count: str, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = transfer_syntax
    meta.MediaStorageSOPClassUID = MultiFrameGrayscaleByteSecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    dataset.PatientID, dataset.Modality, dataset.NumberOfFrames = "case", "OT", count
    dataset.Rows = dataset.Columns = 64
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = bytes(4096)
    if transfer_syntax != ExplicitVRLittleEndian:
        dataset.PixelData = pydicom.encaps.encapsulate([bytes(4096)])
        dataset["PixelData"].is_undefined_length = True
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def volumes(count: int) -> bytes:
    data = bytearray(nibabel.Nifti2Image(np.zeros((4, 4, 4, 2), np.int16), np.eye(4)).to_bytes())
    data[16:80] = struct.pack("<8q", 4, 4, 4, 4, count, 1, 1, 1)
    return bytes(data)


FILES: dict[str, Callable[[], bytes]] = {
    "header that is no Python.npz": lambda: archive(npy(shaped("((2, 2, 2)"))),
    "nested header.npz": lambda: archive(npy(shaped("(" * 300 + ")" * 300))),
    "images 2e9.npz": lambda: archive(npy(shaped("(2000000000, 2, 2)"))),
    "empty images 2e9.npz": lambda: archive(npy(shaped("(2000000000, 0, 2)"))),
    "deflated images 3e6.npz": lambda: archive(
        npy(shaped("(3000000, 1, 1)"), bytes(3_000_000)), zipfile.ZIP_DEFLATED
    ),
    "negative.npz": lambda: archive(npy(shaped("(-3, 2, 2)"))),
    "encrypted.npz": encrypted,
    "lzma.npz": lambda: damaged(zipfile.ZIP_LZMA),
    "bzip2.npz": lambda: damaged(zipfile.ZIP_BZIP2),
    "deflate.npz": lambda: damaged(zipfile.ZIP_DEFLATED),
    "labels 2e9.npz": lambda: labels(b"", shaped("(2000000000, 1)")),
    "labels of objects.npz": lambda: labels(b"\x80\x04K\x01.", shaped("(2, 1)").replace("|u1", "|O")),
    "labels of nothing.npz": lambda: labels(b"", shaped("(2, 0)")),
    "labels cut.npz": lambda: labels(b"\1", shaped("(2, 1)")),
    "frames 2e9.dcm": lambda: frames("2000000000"),
    "frames 500.dcm": lambda: frames("500"),
    "compressed frames 2e9.dcm": lambda: frames("2000000000", JPEGBaseline8Bit),
    "frames 9e99.dcm": lambda: frames("9" * 12),
    "volumes 2e9.nii": lambda: volumes(2_000_000_000),
    "no volumes.nii": lambda: volumes(0),
    "less than no volumes.nii": lambda: volumes(-5),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("files")
    for name, data in FILES.items():
        (made / name).write_bytes(data())
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(made / "good.png")
    return made


IN_A_PROCESS_EACH = pytest.param(1, marks=pytest.mark.slow)
"""An archive that is listed in a worker has one of its own."""


@pytest.mark.parametrize("workers", [0, IN_A_PROCESS_EACH])
def test_index_sets_each_aside_with_one_line_and_lists_the_good_one(folder: Path, workers: int) -> None:
    found = index(folder, keep_ids=True, workers=workers)
    assert [row.path for row in found.manifest.rows] == ["good.png"]
    reasons = {aside.path: str(aside) for aside in found.set_aside}
    assert set(reasons) == set(FILES)
    assert not any("\n" in reason for reason in reasons.values())
    assert "the header says 2,000,000,000 images; the file has 100 bytes" in reasons["images 2e9.npz"]
    assert "the header says 2,000,000,000 frames; the file has 4.58 kB" in reasons["frames 2e9.dcm"]
    assert "the header says 2,000,000,000 volumes" in reasons["volumes 2e9.nii"]
    assert "the limit is 500,000 in one file" in reasons["deflated images 3e6.npz"]
    assert "encrypted" in reasons["encrypted.npz"]


@pytest.mark.parametrize("workers", [0, IN_A_PROCESS_EACH])
def test_what_is_scored_from_the_folder_has_a_row_for_each(folder: Path, workers: int) -> None:
    items = gather(folder, key_beside=folder.parent / "m.csv", workers=workers).items
    assert {Path(item.path).name for item in items if item.problem} == set(FILES)
    assert [Path(item.path).name for item in items if not item.problem] == ["good.png"]


def test_an_archive_given_by_itself_does_not_end_the_others(folder: Path) -> None:
    items = gather([str(folder / name) for name in ("images 2e9.npz", "lzma.npz", "good.png")]).items
    assert [bool(item.problem) for item in items] == [True, True, False]
