from __future__ import annotations

import contextlib
import gzip
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from secondread.images.image import ImageError
from secondread.images.limits import ReadLimits
from secondread.images.read import read_image
from secondread.images.read_header import read_header

STORED = np.arange(12, dtype=np.uint16).reshape(3, 4)


def refusal(reference: str | Path, **more: ReadLimits) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(reference, **more)
    assert "\n" not in str(caught.value)
    assert caught.value.path == str(reference)
    return caught.value.problem


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def test_a_missing_file(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "missing.png")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.dcm").write_bytes(b"")
    assert "empty (0 bytes)" in refusal(tmp_path / "empty.dcm")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dcm")
    assert "not a regular file" in refusal(tmp_path / "pipe.dcm")
    with pytest.raises(ImageError, match="not a regular file"):
        read_header(tmp_path / "pipe.dcm")


def test_a_text_file_named_png(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("these are notes\n")
    assert "a text file, not an image" in refusal(tmp_path / "notes.png")


def test_the_name_does_not_matter_where_the_content_is_an_image(make_dicom: Callable[..., Path]) -> None:
    path = make_dicom(STORED)
    assert read_image(path.rename(path.with_suffix(".png"))).header["format"] == "DICOM"


def test_a_truncated_dicom(make_dicom: Callable[..., Path]) -> None:
    path = make_dicom(STORED)
    path.write_bytes(path.read_bytes()[:-8])
    assert "truncated" in refusal(path)


@pytest.mark.parametrize("kept", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_dicom_cut_anywhere_is_an_image_error(make_dicom: Callable[..., Path], kept: float) -> None:
    path = make_dicom(np.zeros((64, 64), np.uint16), PatientComments="x" * 2000)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    refusal(path)


def test_a_dicom_without_pixels(make_dicom: Callable[..., Path]) -> None:
    path = make_dicom(STORED)
    import pydicom

    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)
    assert "without pixels" in refusal(path)


def test_a_dicom_header_of_100000_by_100000(make_dicom: Callable[..., Path]) -> None:
    path = make_dicom(STORED, NumberOfFrames=1000, Rows=60000, Columns=60000)
    assert "the limit is" in refusal(path)


def test_a_compressed_frame_larger_than_its_header(make_dicom: Callable[..., Path]) -> None:
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit

    size = struct.pack(">BHH", 8, 60000, 60000)
    frame = b"\xff\xd8\xff\xc0\x00\x0b" + size + b"\x01\x01\x11\x00\xff\xd9"
    path = make_dicom(STORED.astype(np.uint8))
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    assert "60000×60000" in refusal(path)


def test_five_thousand_nested_sequences(tmp_path: Path) -> None:
    tag = b"\x09\x00\x10\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    meta = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0"
    start = b"\0" * 128 + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00" + struct.pack("<I", len(meta)) + meta
    path = tmp_path / "nested.dcm"
    path.write_bytes(start + tag * 5000)
    assert "nested too deeply" in refusal(path)
    with pytest.raises(ImageError):
        read_header(path)


def test_a_deflated_dicom_bomb(tmp_path: Path) -> None:
    meta = b"\x02\x00\x10\x00UI\x16\x001.2.840.10008.1.2.1.99"
    start = b"\0" * 128 + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00" + struct.pack("<I", len(meta)) + meta
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(bytes(1 << 24)) + packer.flush()
    path = tmp_path / "bomb.dcm"
    path.write_bytes(start + bomb)
    assert "above the limit" in refusal(path, limits=ReadLimits(max_bytes=1 << 22))


def test_a_png_header_of_100000_by_100000(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(100)))
    (tmp_path / "huge.png").write_bytes(data + png_chunk(b"IEND", b""))
    assert "100000×100000×1 = 10,000,000,000 values" in refusal(tmp_path / "huge.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_truncated_picture(tmp_path: Path, suffix: str) -> None:
    from PIL import Image

    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:1200])
    assert "cannot be decoded" in refusal(path)


def test_nan_voxels_are_counted(tmp_path: Path) -> None:
    voxels = np.zeros((3, 4, 5), np.float32)
    voxels[0, 0, :2] = np.nan
    voxels[1, 0, 0] = np.inf
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "nan.nii.gz")
    assert "2 NaN and 1 infinite of 60 values" in refusal(tmp_path / "nan.nii.gz")


def test_a_nifti_whose_header_is_too_large(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_shape((20000, 20000, 20000))
    (tmp_path / "huge.nii").write_bytes(header.binaryblock + bytes(4))
    assert "the limit is" in refusal(tmp_path / "huge.nii")


def test_a_truncated_nifti(tmp_path: Path) -> None:
    volume = nibabel.Nifti1Image(
        np.random.default_rng(0).normal(size=(9, 9, 9)).astype(np.float32), np.eye(4)
    )
    nibabel.save(volume, tmp_path / "cut.nii.gz")
    data = (tmp_path / "cut.nii.gz").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(data[: len(data) // 2])
    assert "truncated" in refusal(tmp_path / "cut.nii.gz")


def test_a_gzip_bomb_behind_a_small_nifti_header_is_not_unpacked(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_shape((2, 2, 2))
    header.set_data_dtype(np.uint8)
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(header.binaryblock + bytes(4) + bytes(1 << 26)))
    assert read_image(tmp_path / "bomb.nii.gz").size == (2, 2, 2)


def test_an_npz_of_pickled_objects(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", images=np.array([{"a": 1}, None, 3], dtype=object))
    assert "Python objects" in refusal(f"{tmp_path}/objects.npz#images/0")


def test_a_zip_that_is_no_npz(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    refusal(tmp_path / "other.npz")
    refusal(f"{tmp_path}/other.npz#images/0")


@pytest.mark.parametrize("seed", range(40))
def test_random_damage_never_raises_anything_else(make_dicom: Callable[..., Path], seed: int) -> None:
    path = make_dicom(np.zeros((16, 16), np.uint16), RescaleSlope="1", WindowCenter="3", WindowWidth="4")
    rng = np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    for at in rng.integers(132, len(data) - 512, size=12):
        data[at] = rng.integers(256)
    path.write_bytes(bytes(data))
    for read in (read_image, read_header):
        with contextlib.suppress(ImageError):
            read(path)


def test_a_panic_of_the_run_length_decoder_is_one_line(make_dicom: Callable[..., Path]) -> None:
    import pydicom
    from pydicom.uid import RLELossless

    stored = (np.add.outer(np.arange(24), np.arange(20)) * 65).astype(np.uint16)
    path = make_dicom(stored)
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    data = path.read_bytes()
    second = data.rfind(b"\xfe\xff\x00\xe0") + 8 + 8  # where the second segment begins, 4 bytes
    path.write_bytes(data[:second] + b"\0" + data[second + 1 :])
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert "PanicException" in repr(caught.value.__cause__)  # which derives from BaseException alone
    assert refusal(path) == "cannot be read: damaged, or not what it says of itself"
