"""Public layouts in small: images of 8×8 in the folders and under the names that a data set has."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secondread.datasets.convert import Converted, dataset

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".tif": "TIFF"}


@cache
def picture(ending: str) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(buffer, FORMATS[ending])
    return buffer.getvalue()


def write_volume(path: Path) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.int16), np.diag([2.0, 2, 2, 1])), path)


@pytest.fixture
def lay_out(tmp_path: Path) -> Callable[..., Path]:
    """Write images, and texts by their paths, in a folder `set`."""

    def write(*images: str, texts: dict[str, str] | None = None) -> Path:
        folder = tmp_path / "set"
        for image in images:
            path = folder / image
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".gz":
                write_volume(path)
            elif path.suffix in FORMATS:
                path.write_bytes(picture(path.suffix))
            else:
                path.write_bytes(b"")
        for name, text in (texts or {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        return folder

    return write


@pytest.fixture
def converted(tmp_path: Path) -> Callable[..., Converted]:
    """A set converted in this process, for a manifest beside the set."""

    def run(name: str, folder: Path, split_file: Path | None = None, **choices: Any) -> Converted:
        place = tmp_path / "set.csv"
        return dataset(name, folder, manifest_path=place, split_file=split_file, workers=0, **choices)

    return run


@pytest.fixture
def columns() -> Callable[..., dict[str, tuple[str, ...]]]:
    """Some columns of a conversion's rows, by path."""

    def table(result: Converted, *names: str) -> dict[str, tuple[str, ...]]:
        return {row.path: tuple(row.value(name) for name in names) for row in result.manifest}

    return table
