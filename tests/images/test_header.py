from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.images.read_header import read_header


def test_a_dicom_header_tells_what_an_index_needs(make_dicom: Callable[..., Path]) -> None:
    path = make_dicom(
        np.zeros((3, 4), np.uint16),
        StudyInstanceUID="1.2",
        SeriesInstanceUID="1.2.3",
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        ViewPosition="PA",
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        ImagePositionPatient=[1, 2, 3],
        PixelSpacing=[0.5, 0.25],
        BurnedInAnnotation="YES",
    )
    header = read_header(path)
    assert (header.kind, header.size, header.rank, header.modality) == ("dicom", (3, 4), 2, "CT")
    assert (header.patient_id, header.study_uid, header.series_uid) == ("P-4711", "1.2", "1.2.3")
    assert header.image_type == ("ORIGINAL", "PRIMARY", "LOCALIZER")
    assert header.position == (1, 2, 3)
    assert header.orientation == (1, 0, 0, 0, 1, 0)
    assert header.spacing == (0.5, 0.25)
    assert (header.view, header.burned_in) == ("PA", "YES")
    assert set(header.names) == {"Doe", "Jane", "P-4711"}
    assert "Doe" not in repr(header)


def test_headers_agree_with_images(tmp_path: Path, make_dicom: Callable[..., Path]) -> None:
    grey = np.arange(30, dtype=np.uint8).reshape(5, 6)
    Picture.fromarray(grey).save(tmp_path / "a.png")
    Picture.fromarray(grey).save(tmp_path / "a.jpg")
    tifffile.imwrite(tmp_path / "a.tif", grey)
    nibabel.save(
        nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), np.diag([1, 2, 3, 1])), tmp_path / "a.nii.gz"
    )
    nibabel.save(
        nibabel.Nifti1Image(np.zeros((3, 4, 1), np.uint8), np.diag([1, 2, 3, 1])), tmp_path / "b.nii"
    )
    make_dicom(np.zeros((2, 3, 4), np.uint16), name="frames.dcm")
    for path in [*tmp_path.glob("a.*"), tmp_path / "b.nii", tmp_path / "frames.dcm"]:
        header, image = read_header(path), read_image(path)
        assert (header.size, header.rank, header.channels) == (image.size, image.rank, len(image.pixels))
        if header.spacing:
            assert header.spacing == pytest.approx(image.geometry.spacing)


@pytest.mark.slow
def test_every_file_of_the_zoo_gives_a_header_or_a_line(shared_data: Path) -> None:
    headers = 0
    for path in (shared_data / "dicom-zoo").rglob("*"):
        if path.is_file():
            with contextlib.suppress(ImageError):
                headers += bool(read_header(path).kind)
    assert headers > 300


def test_a_file_without_image_says_so(make_dicom: Callable[..., Path], shared_data: Path) -> None:
    report = shared_data / "dicom-zoo" / "pydicom" / "src__pydicom__data__test_files__rtplan.dcm"
    assert not read_header(report).has_pixels
    assert read_header(make_dicom(np.zeros((3, 4), np.uint16))).has_pixels


def test_reading_images_imports_neither_torch_nor_what_it_does_not_need() -> None:
    program = (
        "import sys, secondread.images.read, secondread.images.read_header;"
        "import secondread.images.workers.map_in_workers;"
        "print([m for m in ('torch', 'pydicom', 'nibabel', 'PIL', 'scipy', 'tifffile') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
