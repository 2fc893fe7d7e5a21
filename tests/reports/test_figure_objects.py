"""Figures in a notebook: matplotlib's objects, of evaluations, readings and maps."""

import numpy as np
import pytest
from made_dicom import dicom_dataset
from matplotlib.figure import Figure

import secondread
from secondread.errors import UserError
from secondread.images.read import read_image
from secondread.reports.figures import drawings


@pytest.fixture(scope="module")
def tested(phantoms):
    return phantoms.where("split=test")


@pytest.fixture(scope="module")
def read(mapping_bundle, tested):
    return secondread.score(mapping_bundle, tested, maps=True, workers=0)


def test_an_evaluation_has_the_reports_figures(read, tested) -> None:
    evaluation = secondread.evaluate(read, tested, bootstrap=20, workers=0)
    roc = secondread.figure(evaluation, "roc")
    assert isinstance(roc, Figure)
    assert roc.axes[0].get_ylabel() == "sensitivity"
    assert roc._repr_png_().startswith(b"\x89PNG")
    assert set(secondread.figures(read)) == {"scores"}
    assert "roc" in drawings(evaluation)
    with pytest.raises(UserError, match="no figure is called 'rok' here; there is histogram, roc"):
        secondread.figure(evaluation, "rok")


def test_maps_lie_over_their_images(read, tested, mapping_bundle) -> None:
    drawn = secondread.show_maps(read, most=3)
    shown = [axes for axes in drawn.axes if axes.images]
    assert len(shown) == 6
    highest = max(read.rows, key=lambda row: row.score)
    over = next(axes for axes in shown if len(axes.images) == 2)
    np.testing.assert_array_equal(over.images[1].get_array(), read.maps[highest.path])
    arrays = [read_image(tested.reference(row)).pixels for row in tested]
    of_arrays = secondread.score(mapping_bundle, arrays, maps=True)
    assert len(secondread.show_maps(of_arrays, arrays, most=1).axes) == 4
    with pytest.raises(UserError, match="give the arrays that were scored"):
        secondread.show_maps(of_arrays)
    with pytest.raises(UserError, match="2 images were given for 12 readings"):
        secondread.show_maps(of_arrays, arrays[:2])


@pytest.mark.parametrize("kept", ["in memory", "in files"])
def test_maps_of_a_dicom_series_lie_over_its_slices(tmp_path, kept) -> None:
    shape = (12, 20, 16)
    for number in range(shape[0]):
        stored = np.full(shape[1:], 40, np.int16)
        stored[3:7, 10:14] += 160 * (3 <= number < 6)
        made = dicom_dataset(
            stored,
            SeriesInstanceUID="1.2",
            ImagePositionPatient=[number * 3.0, 0, 0],
            ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
            PixelSpacing=[3, 3],
        )
        (tmp_path / "series").mkdir(exist_ok=True)
        made.save_as(tmp_path / "series" / f"{number}.dcm", enforce_file_format=True)
    recipe = {
        "about": {"title": "brightness"},
        "preprocessing": {"size": [20, 12, 16], "steps": [{"window": {"low": 0, "high": 255}}]},
        "detector": {"name": "intensity", "erosion": 0},
    }
    normal = 40 + np.random.default_rng(0).random((12, 20, 12, 16))
    bundle = secondread.fit(recipe, normal, workers=0, progress=False)
    out = tmp_path / "out" if kept == "in files" else None
    readings = secondread.score(bundle, [tmp_path / "series"], out, maps=True, workers=0)
    under = secondread.show_maps(readings).axes[1]
    image, heat = (np.asarray(one.get_array()) for one in under.images)
    assert image.shape == heat.shape
    np.testing.assert_array_equal(image > 100, heat > 0.5)
    assert (image > 100).sum() == 16


def test_readings_without_maps_have_none_to_show(fitted, tested) -> None:
    with pytest.raises(UserError, match="score with maps=True"):
        secondread.show_maps(secondread.score(fitted, tested, workers=0))
