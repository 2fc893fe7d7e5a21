from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from secondread.images.image import Geometry
from secondread.images.read import read_image
from secondread.images.write import write_map


def test_a_2d_map_is_written_as_float_and_read_back(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    path = write_map(tmp_path / "deep" / "film.jpeg.map", values, Geometry())
    assert path == tmp_path / "deep" / "film.jpeg.map.tiff"
    np.testing.assert_array_equal(read_image(path).pixels[0], values)


def test_a_volume_without_an_affine_keeps_its_spacing(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    image = read_image(write_map(tmp_path / "map", values, Geometry(spacing=(3.0, 2.0, 1.0))))
    assert image.geometry.spacing == (3.0, 2.0, 1.0)
    assert image.size == (3, 4, 5)


def test_other_ranks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 or 3 axes"):
        write_map(tmp_path / "map", np.zeros(3), Geometry())


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tifffile

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", full)
    with pytest.raises(OSError, match="No space"):
        write_map(tmp_path / "map", np.zeros((2, 2)), Geometry())
    assert list(tmp_path.iterdir()) == []
