from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from read_films import FilmsRead, write_films

if TYPE_CHECKING:
    from secondread.bundles.bundle import Bundle
    from secondread.cohorts.manifest import Manifest


@pytest.fixture(scope="session")
def intensity_bundle(phantoms: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A detector that learns nothing and whose map is the image's brightness."""
    from secondread.fitting.fit import fit
    from secondread.recipes.recipe import Recipe

    folder = tmp_path_factory.mktemp("intensity")
    recipe = Recipe.from_mapping(
        {
            "preprocessing": {"size": [32, 32]},
            "detector": {"name": "intensity", "erosion": 1},
            "cohorts": {"validation": 0.2, "calibration": 0.5},
            "calibration": {"false_alarm_rate": 0.1},
        }
    )
    return fit(recipe, phantoms, folder / "bundle", cache=folder / "cache", workers=0, progress=False)


@pytest.fixture(scope="session")
def films_read(intensity_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> FilmsRead:
    from secondread.readings.score import score

    folder = tmp_path_factory.mktemp("films")
    films = write_films(folder / "films")
    files = sorted(map(str, films.iterdir()))
    readings = score(intensity_bundle, files, folder / "out", maps=True, workers=0)
    return FilmsRead(films, folder / "out", readings)
