"""Figures in a notebook: matplotlib's objects, of evaluations, readings and maps."""

import numpy as np
import pytest
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


def test_readings_without_maps_have_none_to_show(fitted, tested) -> None:
    with pytest.raises(UserError, match="score with maps=True"):
        secondread.show_maps(secondread.score(fitted, tested, workers=0))
