from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pydicom
import pytest
from nibabel.nicom.dicomwrappers import wrapper_from_file

from secondread.images.read import read_image
from secondread.images.read_header import read_header
from secondread.images.workers.map_in_workers import map_in_workers
from secondread.images.workers.outcome import Done, Failed


@pytest.fixture(scope="module")
def zoo(shared_data: Path) -> list[dict[str, str]]:
    folder = shared_data / "dicom-zoo"
    with (folder / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["path"] = str(folder / row["path"])
    return rows


@pytest.mark.slow
def test_files_with_pixels_give_images_and_the_others_a_line(
    zoo: list[dict[str, str]],
) -> None:
    results = list(map_in_workers(read_image, [row["path"] for row in zoo], workers=2, timeout_s=30))
    with_pixels = [result for row, result in zip(zoo, results, strict=True) if row["pydicom_alone"]]
    assert len(with_pixels) == 310
    assert sum(isinstance(result, Done) for result in with_pixels) >= 301
    for result in results:
        if isinstance(result, Failed):
            assert result.error.path
            assert "\n" not in str(result.error)
            assert len(result.error.problem) > 10
        else:
            assert result.value.pixels.size > 0
            assert result.value.pixels.shape[0] in (1, 3)


def test_lossless_syntaxes_of_one_image_agree(shared_data: Path) -> None:
    folder = shared_data / "dicom-zoo" / "wg04"
    reference = read_image(folder / "data__WG04__J2KR__MR1_J2KR").pixels
    for syntax in ("JLSL", "JPLL", "RLE"):
        np.testing.assert_array_equal(
            read_image(folder / f"data__WG04__{syntax}__MR1_{syntax}").pixels, reference
        )


def test_twelve_bit_lossy_jpeg_is_close_to_the_original(shared_data: Path) -> None:
    folder = shared_data / "dicom-zoo" / "wg04"
    original = read_image(folder / "data__WG04__J2KR__MR1_J2KR").pixels.astype(float)
    lossy = read_image(folder / "data__WG04__JPLY__MR1_JPLY").pixels.astype(float)
    assert abs(lossy - original).mean() < 0.005 * original.max()
    assert np.corrcoef(lossy.ravel(), original.ravel())[0, 1] > 0.999


def test_packed_one_bit_segmentations_agree_with_the_plain_file(shared_data: Path) -> None:
    folder = shared_data / "dicom-zoo" / "pydicom-data"
    plain = read_image(folder / "data_store__data__liver_nonbyte_aligned.dcm").pixels
    assert plain.sum() > 0
    for form in ("deflate", "rle", "j2k"):
        packed = read_image(folder / f"data_store__data__liver_nonbyte_aligned_{form}.dcm").pixels
        np.testing.assert_array_equal(packed, plain)


def test_decoded_values_are_those_of_pydicom(zoo: list[dict[str, str]]) -> None:
    compared = 0
    for row in zoo[::7]:
        if not row["pydicom_alone"].startswith("decoded (") or row["photometric"] != "MONOCHROME2":
            continue
        if row["frames"] not in ("", "1"):
            continue
        dataset = pydicom.dcmread(row["path"], force=True)
        if "MOSAIC" in dataset.get("ImageType", ()):
            continue
        expected = pydicom.pixels.apply_modality_lut(dataset.pixel_array, dataset)
        np.testing.assert_allclose(read_image(row["path"]).pixels[0], expected, rtol=1e-6)
        compared += 1
    assert compared > 10


MOSAICS = (
    "siemens/In__Orientation__axmb__AxAsc36mb2a__jpg1.dcm",
    "siemens/In__Orientation__sag__sagasc35__MR.1.3.12.2.1107.5.2.32.35131.2014031013000537156690252",
    "siemens/In__Orientation__cor__corasc35__MR.1.3.12.2.1107.5.2.32.35131.2014031012570555283988916",
    "nih/In__20180918Si__mr_0003__epi_pe_ap-00001.dcm",
)


@pytest.mark.parametrize("name", MOSAICS)
def test_a_mosaic_is_taken_apart_as_nibabel_does(shared_data: Path, name: str) -> None:
    path = shared_data / "dicom-zoo" / name
    image, header = read_image(path), read_header(path)
    wrapped = wrapper_from_file(path, force=True)
    expected = np.asarray(wrapped.get_data(), np.float64)
    stack = image.geometry.to_file_axes(image.pixels[0])
    assert header.size == image.size
    assert header.spacing == pytest.approx(image.geometry.spacing)
    assert any("a mosaic, taken apart" in remark for remark in image.geometry.remarks)
    assert sorted(stack.shape) == sorted(expected.shape)
    for index in ((0, 0, 0), (5, 9, 2), tuple(n - 1 for n in expected.shape)):
        place = (wrapped.affine @ (*index, 1))[:3] * (-1, -1, 1)
        assert image.geometry.affine is not None
        found = np.linalg.solve(image.geometry.affine, (*place, 1))[:3]
        nearest = tuple(round(one) for one in found)
        np.testing.assert_allclose(found, nearest, atol=1e-2)
        assert image.pixels[(0, *nearest)] == expected[index]
