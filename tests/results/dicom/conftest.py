from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid
from read_study import Read, read_film, read_series, write_study

from secondread.bundles.bundle import Bundle


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


@pytest.fixture
def identity() -> Callable[[], dict[str, Any]]:
    """UIDs, numbers and equipment of a new result, as highdicom's constructors take them."""

    def made() -> dict[str, Any]:
        return {
            "series_instance_uid": generate_uid(),
            "series_number": 20_003,
            "sop_instance_uid": generate_uid(),
            "instance_number": 1,
            "series_description": "a result",
            "manufacturer": "secondread",
            "manufacturer_model_name": "spectrum",
            "software_versions": "secondread 0.1.0",
            "device_serial_number": "00ff",
        }

    return made


@pytest.fixture(scope="session")
def flat_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Sees brightness in pictures."""
    from scored_studies import brightness_bundle

    return brightness_bundle(tmp_path_factory.mktemp("flat"), 2)


@pytest.fixture(scope="session")
def solid_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Sees brightness in volumes."""
    from scored_studies import brightness_bundle

    return brightness_bundle(tmp_path_factory.mktemp("solid"), 3)
