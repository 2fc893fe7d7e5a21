from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.images.read_header import read_header

VOXELS = np.random.default_rng(0).integers(0, 200, (5, 6, 7))
TURN = nibabel.eulerangles.euler2mat(0.1, 0.2, 1.4)
OBLIQUE = nibabel.affines.from_matvec(TURN @ np.diag([2, 1.5, 3]), [10, -20, 30])


def surfer(values: np.ndarray, affine: np.ndarray = OBLIQUE) -> bytes:
    return nibabel.freesurfer.MGHImage(values, affine).to_bytes()


@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "f4"])
@pytest.mark.parametrize("packed", [False, True])
def test_an_mgh_is_the_nifti_of_it(tmp_path: Path, kind: str, packed: bool) -> None:
    values = VOXELS.astype(kind)
    path = tmp_path / ("a.mgz" if packed else "a.mgh")
    path.write_bytes(gzip.compress(surfer(values)) if packed else surfer(values))
    known = nibabel.load(path)
    nibabel.Nifti1Image(values, known.affine).to_filename(tmp_path / "a.nii")
    found, expected = read_image(path), read_image(tmp_path / "a.nii")
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    assert found.pixels.dtype == expected.pixels.dtype
    np.testing.assert_allclose(found.geometry.affine, expected.geometry.affine, atol=1e-5)
    assert found.geometry.remarks == ()
    header = read_header(path)
    assert (header.kind, header.size, header.spacing) == ("mgh", found.size, found.geometry.spacing)
    one, other = (read_image(f"{file}#slice/coronal/1").pixels for file in (path, tmp_path / "a.nii"))
    np.testing.assert_array_equal(one, other)


def test_one_without_an_orientation_lies_as_freesurfer_has_it(tmp_path: Path) -> None:
    """Columns from right to left, rows from head to feet, slices from back to front; nibabel turns the last
    two round."""
    data = bytearray(surfer(VOXELS.astype("f4")))
    data[28:30] = b"\0\0"
    path = tmp_path / "a.mgh"
    path.write_bytes(data)
    found = read_image(path)
    assert nibabel.aff2axcodes(found.geometry.file_affine) == ("L", "I", "A")
    assert found.geometry.spacing == (1, 1, 1)
    nibabel.Nifti1Image(VOXELS.astype("f4"), found.geometry.file_affine).to_filename(tmp_path / "a.nii")
    np.testing.assert_array_equal(found.pixels, read_image(tmp_path / "a.nii").pixels)
    assert "as a coronal volume of 1 mm" in found.geometry.remarks[0]


def test_frames_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mgh"
    path.write_bytes(surfer(np.stack([VOXELS, VOXELS + 1], axis=-1).astype("i2")))
    with pytest.raises(ImageError, match="2 volumes in one file"):
        read_image(path)
    one, other = (read_image(f"{path}#frame/{number}").pixels for number in (0, 1))
    np.testing.assert_array_equal(one + 1, other)


@pytest.mark.parametrize(
    ("place", "written", "told"),
    [
        (slice(20, 24), b"\0\0\0\7", "values of type 7; save it as float"),
        (slice(30, 34), b"\0\0\0\0", "singular or not finite"),
        (slice(30, 34), b"\x7f\xc0\0\0", "singular or not finite"),
        (slice(4, 8), b"\0\0\x10\0", "truncated"),
    ],
)
def test_a_header_that_cannot_be_is_refused(tmp_path: Path, place: slice, written: bytes, told: str) -> None:
    data = bytearray(surfer(VOXELS.astype("i2")))
    data[place] = written
    for name, whole in (("a.mgh", bytes(data)), ("a.mgz", gzip.compress(bytes(data)))):
        (tmp_path / name).write_bytes(whole)
        with pytest.raises(ImageError, match=told):
            read_image(tmp_path / name)
