from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from secondread.cohorts.listing.index import index
from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.images.read_header import read_header
from secondread.preprocessing.cache.cache import fingerprint_of

VOXELS = np.random.default_rng(0).integers(-500, 2000, (5, 6, 7)).astype(np.int16)
TURN = nibabel.eulerangles.euler2mat(0.1, 0.2, 1.4)
OBLIQUE = nibabel.affines.from_matvec(TURN @ np.diag([2, 1.5, 3]), [10, -20, 30])
KINDS = {
    "nifti": nibabel.Nifti1Pair,
    "nifti2": nibabel.Nifti2Pair,
    "analyze": nibabel.AnalyzeImage,
    "spm": nibabel.Spm99AnalyzeImage,
}


def written(folder: Path, kind: str, values: np.ndarray = VOXELS, name: str = "scan") -> Path:
    image = KINDS[kind](values, OBLIQUE if "nifti" in kind else np.diag([-1.5, 2, 3, 1]))
    image.to_filename(folder / f"{name}.hdr")
    (folder / f"{name}.mat").unlink(missing_ok=True)
    return folder / f"{name}.hdr"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("values", [VOXELS, VOXELS.astype(np.float32) / 7, VOXELS[:, :, :1], VOXELS[..., 0]])
def test_an_image_in_two_files_is_the_nifti_of_it(tmp_path: Path, kind: str, values: np.ndarray) -> None:
    path = written(tmp_path, kind, values)
    known = nibabel.load(path)
    nibabel.Nifti1Image(np.asanyarray(known.dataobj), known.affine).to_filename(tmp_path / "one.nii")
    found, expected = read_image(path), read_image(tmp_path / "one.nii")
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    np.testing.assert_allclose(found.geometry.affine, expected.geometry.affine, atol=1e-5)
    assert found.geometry.spacing == pytest.approx(expected.geometry.spacing)
    told = [one for one in found.geometry.remarks if "Analyze" in one]
    assert bool(told) is ("nifti" not in kind)
    assert found.header["format"] == ("NIfTI" if "nifti" in kind else "Analyze")
    header = read_header(path)
    assert (header.kind, header.size, header.data_file) == ("nifti", found.size, "scan.img")


def test_slopes_byte_orders_and_colours_count(tmp_path: Path) -> None:
    image = nibabel.Nifti1Pair(VOXELS, OBLIQUE)
    image.header.set_slope_inter(0.5, -3)
    image.to_filename(tmp_path / "a.hdr")
    shown = np.asanyarray(nibabel.load(tmp_path / "a.hdr").dataobj)
    nibabel.Nifti1Image(shown.astype(np.float32), OBLIQUE).to_filename(tmp_path / "a.nii")
    np.testing.assert_allclose(read_image(tmp_path / "a.hdr").pixels, read_image(tmp_path / "a.nii").pixels)
    swapped = nibabel.Nifti1Pair(VOXELS, OBLIQUE, nibabel.nifti1.Nifti1PairHeader(endianness=">"))
    swapped.to_filename(tmp_path / "b.hdr")
    nibabel.Nifti1Image(VOXELS, OBLIQUE).to_filename(tmp_path / "b.nii")
    np.testing.assert_array_equal(
        read_image(tmp_path / "b.hdr").pixels, read_image(tmp_path / "b.nii").pixels
    )
    coloured = np.zeros((5, 6, 7), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    coloured["G"] = 200
    nibabel.Nifti1Pair(coloured, OBLIQUE).to_filename(tmp_path / "c.hdr")
    assert read_image(tmp_path / "c.hdr").pixels[:, 0, 0, 0].tolist() == [0, 200, 0]


@pytest.mark.parametrize("kind", ["nifti", "analyze"])
def test_either_file_may_be_packed_and_names_be_capitals(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    expected = read_image(path)
    header, voxels = path.read_bytes(), path.with_suffix(".img").read_bytes()
    for names in (
        ("a.hdr.gz", "a.img.gz"),
        ("b.hdr", "b.img.gz"),
        ("c.hdr.gz", "c.img"),
        ("D.HDR", "D.IMG"),
        ("e", "e.img"),
    ):
        for name, data in zip(names, (header, voxels), strict=True):
            (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        found = read_image(tmp_path / names[0])
        np.testing.assert_array_equal(found.pixels, expected.pixels, err_msg=names[0])
        assert read_header(tmp_path / names[0]).data_file == names[1]


def test_frames_and_slices_are_named_as_of_a_nifti(tmp_path: Path) -> None:
    several = np.stack([VOXELS, VOXELS + 1], axis=-1)
    path = written(tmp_path, "nifti", several)
    with pytest.raises(ImageError, match="2 volumes in one file"):
        read_image(path)
    second = read_image(f"{path}#frame/1")
    np.testing.assert_array_equal(second.pixels, read_image(f"{path}#frame/0").pixels + 1)
    whole = written(tmp_path, "analyze", name="other")
    np.testing.assert_array_equal(
        read_image(f"{whole}#slice/axial/2").pixels[0], read_image(whole).pixels[0, 2]
    )


def test_what_is_missing_or_cut_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = written(tmp_path, "nifti")
    voxels = path.with_suffix(".img")
    with pytest.raises(ImageError, match=r"the voxels of an image in two files; give its header, scan\.hdr"):
        read_image(voxels)
    with pytest.raises(ImageError, match="give its header"):
        read_header(voxels)
    voxels.write_bytes(voxels.read_bytes()[:-2])
    with pytest.raises(ImageError, match="truncated: 418 of 420 bytes"):
        read_image(path)
    voxels.unlink()
    for read in (read_image, read_header):
        with pytest.raises(ImageError, match=r"whose voxels, scan\.img, are not there; copy them beside it"):
            read(path)
    voxels.mkdir()
    with pytest.raises(ImageError, match=r"scan\.img is not a regular file"):
        read_image(path)


def test_an_orientation_that_spm_keeps_apart_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, "spm")
    assert not any("scan.mat" in one for one in read_image(path).geometry.remarks)
    (tmp_path / "scan.mat").write_bytes(b"M")
    assert "SPM's orientation in scan.mat is not read" in read_image(path).geometry.remarks


def test_other_voxels_are_another_image(tmp_path: Path) -> None:
    path = written(tmp_path, "analyze")
    names = (str(path), f"{path}#slice/axial/1")
    before = [(read_image(name).digest, fingerprint_of(name)) for name in names]
    path.with_suffix(".img").write_bytes((VOXELS.transpose(2, 1, 0) + 1).tobytes())
    after = [(read_image(name).digest, fingerprint_of(name)) for name in names]
    assert all(
        one != other for pair in zip(before, after, strict=True) for one, other in zip(*pair, strict=True)
    )


def test_index_lists_the_header_and_not_its_voxels(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    (folder / "normal").mkdir(parents=True)
    for name in ("a", "b"):
        written(folder / "normal", "analyze", name=name)
    found = index(folder, workers=0)
    assert [row.path for row in found.manifest.rows] == ["normal/a.hdr", "normal/b.hdr"]
    assert list(found.set_aside) == []


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_headers_are_read_or_refused_and_nothing_else(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    data, draws, lines = path.read_bytes(), np.random.default_rng(3), list[str]()
    for _ in range(150):
        damaged = bytearray(data)
        for place in draws.integers(0, len(data), draws.integers(1, 6)):
            damaged[place] = draws.integers(0, 256)
        path.write_bytes(damaged[: len(data) if draws.random() < 0.9 else draws.integers(0, len(data))])
        for read in (read_image, read_header):
            try:
                read(path)
            except ImageError as error:
                lines.append(str(error))
    assert not any("\n" in line for line in lines)


def test_a_header_with_its_voxels_behind_it_is_no_analyze(tmp_path: Path) -> None:
    nibabel.Nifti1Image(VOXELS, OBLIQUE).to_filename(tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[344:348] = b"\0\0\0\0"
    (tmp_path / "b.nii").write_bytes(data)
    shutil.copy(tmp_path / "a.nii", tmp_path / "b.img")
    with pytest.raises(ImageError, match="a NIfTI whose header does not say that it is one"):
        read_image(tmp_path / "b.nii")
