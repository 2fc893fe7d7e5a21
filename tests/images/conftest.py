"""Small DICOM files made on the spot, valid unless a test bends them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from made_dicom import dicom_dataset


@pytest.fixture
def make_dicom(tmp_path: Path) -> Callable[..., Path]:
    def make(stored: np.ndarray, name: str = "made.dcm", **elements: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        pydicom.dcmwrite(path, dicom_dataset(stored, **elements), enforce_file_format=True)
        return path

    return make
