"""A fit on arrays, from whatever a recipe may be given as, with nothing left on disk."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

import secondread
from secondread.errors import UserError
from secondread.images.read import read_image

HOW = {"workers": 0, "device": "cpu", "progress": False}


@pytest.fixture(scope="module")
def arrays(phantoms):
    train = phantoms.where("split=train")
    return np.concatenate([read_image(train.reference(row)).pixels for row in train])


@pytest.fixture(scope="module")
def of_arrays(recipe, arrays):
    return secondread.fit(recipe, torch.from_numpy(arrays), **HOW)


def test_a_fit_on_arrays_is_the_fit_on_their_files(of_arrays, recipe, phantoms, arrays, tmp_path) -> None:
    """The split into cohorts follows names, so that both learn from the same rows in one order."""
    files = secondread.manifest_of_arrays(arrays, folder=tmp_path / "images")
    of_files = secondread.fit(recipe, files, tmp_path / "bundle", cache=tmp_path / "cache", **HOW)
    tested = phantoms.where("split=test")
    first, second = (secondread.score(bundle, tested, workers=0) for bundle in (of_arrays, of_files))
    assert [row.score for row in first] == [row.score for row in second]


def test_nothing_of_a_fit_without_a_folder_stays(recipe, arrays, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    bundle = secondread.fit(recipe.model_dump(mode="json"), arrays, **HOW)
    assert bundle.path is None
    assert list(tmp_path.iterdir()) == []
    saved = bundle.save(tmp_path / "bundle")
    assert secondread.Bundle.load(tmp_path / "bundle").digest == saved.digest == bundle.digest


def test_arrays_and_their_labels_go_from_fit_to_evaluation(of_arrays, phantoms) -> None:
    tested = phantoms.where("split=test")
    images = np.stack([read_image(tested.reference(row)).pixels for row in tested])
    readings = secondread.score(of_arrays, images)
    found = secondread.evaluate(
        readings, labels=[row.label == "abnormal" for row in tested], bootstrap=20, workers=0
    )
    by_file = secondread.evaluate(
        secondread.score(of_arrays, tested, workers=0), tested, bootstrap=20, workers=0
    )
    assert found.metrics()["auroc"] == by_file.metrics()["auroc"]
    assert found.metrics()["n"]["abnormal"] == 6
    with pytest.raises(UserError, match="12 images"):
        secondread.evaluate(readings, labels=[0])
    with pytest.raises(UserError, match="give one of the two"):
        secondread.evaluate(readings)


def test_what_the_fit_saw_is_known_again_among_arrays(of_arrays, arrays) -> None:
    assert {row.seen for row in secondread.score(of_arrays, arrays)} == {
        "normal",
        "validation",
        "calibration",
    }


def test_a_data_frame_is_fitted(recipe, phantoms, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"path": [phantoms.reference(row) for row in phantoms], "split": [row.split for row in phantoms],
         "label": [row.label for row in phantoms]}
    )  # fmt: skip
    assert secondread.fit(recipe, frame, cache=tmp_path, **HOW).path is None


def test_what_goes_with_arrays_alone_is_refused_beside_a_manifest(recipe, phantoms, arrays) -> None:
    with pytest.raises(UserError, match="labels and spacing: go with arrays"):
        secondread.fit(recipe, phantoms, labels=[0], spacing=[1.0, 1.0])
    with pytest.raises(UserError, match="labels: 1 were given"):
        secondread.fit(recipe, arrays, labels=[0])
    with pytest.raises(UserError, match="detector"):
        secondread.fit({"preprocessing": {"size": [8, 8]}}, arrays)


def test_what_is_no_manifest_is_told_so(of_arrays, arrays, tmp_path) -> None:
    with pytest.raises(UserError, match=r"ndarray: is no manifest; give one, its file .* manifest_of_arrays"):
        secondread.calibrate(of_arrays, arrays, tmp_path / "calibrated")


def test_the_spacing_of_all_axes_is_not_one_number(recipe, arrays) -> None:
    with pytest.raises(UserError, match=r"the spacing 0\.5 is one number; give one for each axis"):
        secondread.fit(recipe, arrays, spacing=0.5, **HOW)


def test_a_bundle_is_calibrated_by_its_folder(recipe, phantoms, tmp_path) -> None:
    secondread.fit(recipe, phantoms, tmp_path / "bundle", **HOW)
    with pytest.raises(UserError, match="rate of 2 is not between"):
        secondread.calibrate(tmp_path / "bundle", phantoms, tmp_path / "other", false_alarm_rate=2)
