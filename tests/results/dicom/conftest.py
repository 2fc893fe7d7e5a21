from pathlib import Path

import pytest
from read_study import Read, read_film, read_series, write_study


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_study(folder)
    return folder


@pytest.fixture(scope="session")
def series(study_folder: Path) -> Read:
    return read_series(study_folder)


@pytest.fixture(scope="session")
def film(study_folder: Path) -> Read:
    return read_film(study_folder)
