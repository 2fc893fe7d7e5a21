"""Small real images on disk, prepared as a fit prepares them, for every rank and size."""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.preprocessing.prepared_set import PreparedSet, prepare_set
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings
from secondread.scoring.image_source import ImageSource

Prepare = Callable[..., PreparedSet]


def preprocessing(channels: int, size: tuple[int, ...]) -> Preprocessing:
    colour = "grey" if channels == 1 else "rgb"
    return Preprocessing(PreprocessingSettings(size=size, colour=colour))


@pytest.fixture(scope="session")
def cohorts(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, ImageSource]]:
    @cache
    def phantoms(rank: int) -> tuple[str, ...]:
        folder = tmp_path_factory.mktemp(f"phantoms-{rank}")
        size = (32, 32) if rank == 2 else (16, 16, 16)
        path = make_phantoms(folder, seed=0, rank=rank, n_normal=20, n_abnormal=2, n_test_normal=2, size=size)
        manifest = Manifest.read(path)
        return tuple(manifest.reference(row) for row in manifest.rows)

    @cache
    def others(rank: int) -> dict[str, tuple[str, ...]]:
        """A mixture of four normal and four abnormal, and four abnormal, none of them among the above."""
        folder = tmp_path_factory.mktemp(f"others-{rank}")
        size = (32, 32) if rank == 2 else (16, 16, 16)
        path = make_phantoms(folder, seed=1, rank=rank, n_normal=4, n_abnormal=8, n_test_normal=0, size=size)
        manifest = Manifest.read(path)
        parts = {
            label: [manifest.reference(row) for row in manifest.rows if row.label == label]
            for label in ("normal", "abnormal")
        }
        mixture = [path for pair in zip(parts["normal"], parts["abnormal"][:4], strict=True) for path in pair]
        return {"unlabelled": tuple(mixture), "abnormal": tuple(parts["abnormal"][4:])}

    @cache
    def make(channels: int, size: tuple[int, ...]) -> dict[str, ImageSource]:
        references = phantoms(len(size))
        how = preprocessing(channels, size)
        parts = {"normal": references[:12], "validation": references[12:17], "new": references[17:23]}
        parts |= others(len(size))
        return {name: prepare_set(list(paths), how, workers=0) for name, paths in parts.items()}

    return make


@pytest.fixture(scope="session")
def prepare() -> Callable[[list[Path], int, tuple[int, ...]], PreparedSet]:
    def run(paths: list[Path], channels: int, size: tuple[int, ...]) -> PreparedSet:
        return prepare_set([str(path) for path in paths], preprocessing(channels, size), workers=0)

    return run
