"""A fit whose detector sees its images through a window, and what its bundle then does."""

from pathlib import Path

import numpy as np
import pytest

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.errors import UserError
from secondread.fitting.calibrate import calibrate
from secondread.fitting.fit import fit
from secondread.previews.sampling import sample
from secondread.readings.score import score
from secondread.recipes.recipe import Recipe

SMALL = {
    "preprocessing": {"size": [48, 40]},
    "window": {"size": [16, 16], "patches": 4, "score": "top", "top": 2},
    "detector": {"name": "patch-ae", "widths": [2, 4], "code": 2},
    "stages": {"reconstruction": {"epochs": 1, "batch_size": 16}},
    "cohorts": {"validation": 0.2, "calibration": 0.3},
}


@pytest.fixture(scope="module")
def windowed(phantoms: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("windowed")
    return fit(
        Recipe.from_mapping(SMALL), phantoms, folder / "bundle", cache=folder / "cache", workers=0,
        device="cpu", progress=False,
    )  # fmt: skip


def test_the_detector_sees_patches_and_the_bundle_judges_images(windowed: Bundle, phantoms: Manifest) -> None:
    assert windowed.detector.size == (16, 16)
    loaded = Bundle.load(windowed.path)
    images = np.random.default_rng(0).random((2, 1, 48, 40), np.float32)
    found, again = windowed.judge(images, maps=True), loaded.judge(images[1:], maps=True)
    assert found.maps is not None
    assert found.maps.shape == (2, 48, 40)
    assert found.scores[1] == again.scores[0]
    assert again.maps is not None
    assert (found.maps[1] == again.maps[0]).all()


def test_files_are_scored_and_another_site_calibrates(
    windowed: Bundle, phantoms: Manifest, tmp_path: Path
) -> None:
    tested = phantoms.where("split=test")
    readings = score(windowed, tested, workers=0).rows
    assert all(reading.score is not None and reading.p_value is not None for reading in readings)
    assert all(np.isfinite(list(reading.baselines.values())).all() for reading in readings)
    normals = phantoms.where("split=test", "label=normal")
    with pytest.raises(UserError, match="test"):
        calibrate(windowed, normals, tmp_path / "moved", workers=0, progress=False)


def test_a_window_that_does_not_fit_is_one_line() -> None:
    with pytest.raises(UserError, match=r"window.size is 64×64, and preprocessing.size is 48×40"):
        Recipe.from_mapping({**SMALL, "window": {"size": [64, 64]}})


def test_no_image_is_drawn_from_a_detector_of_patches(windowed: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sees patches of 16×16 through a window, and images are drawn whole"):
        sample(windowed, tmp_path / "drawn", n=1)
