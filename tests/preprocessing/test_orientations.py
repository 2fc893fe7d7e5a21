"""One volume in DICOM series of any plane and as NIfTI: prepared alike, and maps lie over their own
source."""

import nibabel
import numpy as np
import pytest

from cohorts.dicom_files import write_dicom
from secondread.images.read import read_image
from secondread.images.write import write_map
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings

VALUES = np.random.default_rng(1).integers(0, 900, (6, 8, 10)).astype(np.uint16)
VALUES[1, 6, 3] = 4000
"""`[slice, row, column]`, 1 mm apart from LPS (0, 0, 0) on; one voxel is bright."""
DIRECTIONS = {
    "axial": ([1, 0, 0], [0, 1, 0]),
    "axial from head to feet": ([0, 1, 0], [1, 0, 0]),
    "coronal": ([1, 0, 0], [0, 0, -1]),
    "coronal, mirrored": ([-1, 0, 0], [0, 0, -1]),
    "sagittal": ([0, 1, 0], [0, 0, -1]),
    "sagittal, rows up": ([0, -1, 0], [0, 0, 1]),
}


def series(folder, columns, rows):
    """The volume as slices whose columns and rows run this way."""
    axes = [np.array(axis) for axis in (np.cross(columns, rows), rows, columns)]
    places = np.array([[2, 1, 0][int(np.argmax(np.abs(axis)))] for axis in axes])
    turned = np.transpose(VALUES, places)
    corner = np.zeros(3)
    for i, axis in enumerate(axes):
        if axis.sum() < 0:
            turned = np.flip(turned, i)
            corner -= axis * (turned.shape[i] - 1)
    for number, stored in enumerate(turned):
        write_dicom(
            folder / f"{number}.dcm",
            stored=stored,
            ImageOrientationPatient=[*columns, *rows],
            ImagePositionPatient=list(corner + axes[0] * number),
            PixelSpacing=[1, 1],
        )
    return folder


@pytest.fixture(scope="module")
def preparing():
    steps = [{"window": "minmax"}]
    return Preprocessing(
        PreprocessingSettings.model_validate({"size": [6, 8, 10], "fit": "pad", "steps": steps})
    )


@pytest.fixture(scope="module")
def as_nifti(tmp_path_factory):
    path = tmp_path_factory.mktemp("nifti") / "a.nii"
    nibabel.Nifti1Image(VALUES.transpose(2, 1, 0), np.diag([-1.0, -1, 1, 1])).to_filename(path)
    return read_image(path)


@pytest.mark.parametrize("plane", DIRECTIONS)
def test_a_series_of_any_plane_is_prepared_like_the_nifti_and_its_map_lies_over_it(
    tmp_path, preparing, as_nifti, plane
):
    image = read_image(series(tmp_path / "ct", *DIRECTIONS[plane]))
    prepared = preparing.apply(image)
    np.testing.assert_array_equal(prepared.pixels, preparing.apply(as_nifti).pixels)
    heat = prepared.placement.to_file_grid(prepared.pixels[0])
    written = nibabel.load(write_map(tmp_path / "map", heat, prepared.placement.geometry))
    bright = np.unravel_index(np.argmax(np.asarray(written.dataobj)), written.shape)
    np.testing.assert_allclose((written.affine @ (*bright, 1))[:3], (-3, -6, 1), atol=1e-5)
