"""Small real images on disk, prepared as a fit prepares them, for every rank and size."""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

from tiny_fits import Cohorts, find

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.preprocessing.prepare_targets import prepare_targets
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
        path = make_phantoms(folder, seed=0, rank=rank, n_normal=18, n_abnormal=2, n_test_normal=2, size=size)
        manifest = Manifest.read(path)
        return tuple(manifest.reference(row) for row in manifest.rows)

    @cache
    def others(rank: int) -> dict[str, tuple[str | None, ...]]:
        """A mixture of three normal and three abnormal, and four abnormal, of which three have masks, none of
        them among the above."""
        folder = tmp_path_factory.mktemp(f"others-{rank}")
        size = (32, 32) if rank == 2 else (16, 16, 16)
        path = make_phantoms(folder, seed=1, rank=rank, n_normal=3, n_abnormal=7, n_test_normal=0, size=size)
        manifest = Manifest.read(path)
        parts = {
            label: [manifest.reference(row) for row in manifest.rows if row.label == label]
            for label in ("normal", "abnormal")
        }
        outlined = [row for row in manifest.rows if row.label == "abnormal"][3:]
        masks = tuple(manifest.mask_reference(row) for row in outlined)
        mixture = [path for pair in zip(parts["normal"], parts["abnormal"][:3], strict=True) for path in pair]
        return {
            "unlabelled": tuple(mixture),
            "abnormal": tuple(parts["abnormal"][3:]),
            "masks": (*masks[:3], None),
        }

    @cache
    def textures(rank: int) -> tuple[str, ...]:
        """Noise of three grains, which is neither normal nor abnormal."""
        folder = tmp_path_factory.mktemp(f"textures-{rank}")
        paths = []
        for number in range(3):
            grain = 2**number
            values = np.random.default_rng(number).integers(0, 256, (16 // grain,) * rank).astype(np.uint8)
            coarse = np.kron(values, np.ones((grain,) * rank, np.uint8))
            paths.append(str(folder / (f"{number}.png" if rank == 2 else f"{number}.nii.gz")))
            if rank == 2:
                Image.fromarray(coarse).save(paths[-1])
            else:
                nibabel.Nifti1Image(coarse, np.eye(4)).to_filename(paths[-1])
        return tuple(paths)

    @cache
    def make(channels: int, size: tuple[int, ...]) -> dict[str, ImageSource]:
        references = phantoms(len(size))
        how = preprocessing(channels, size)
        parts = {"normal": references[:12], "validation": references[12:16], "new": references[16:20]}
        parts |= others(len(size)) | {"auxiliary": textures(len(size))}
        masks = parts.pop("masks")
        sets = {name: prepare_set(list(paths), how, workers=0) for name, paths in parts.items()}
        prepare_targets(sets["abnormal"], masks, workers=0)
        assert not sets["abnormal"].target_errors
        return sets

    return make


@pytest.fixture(scope="session")
def data(cohorts) -> Callable[[str, int], Cohorts]:
    def of(name: str, rank: int) -> Cohorts:
        tiny = find(name).tiny(rank)
        return cohorts(tiny.channels, tuple(tiny.size))

    return of


@pytest.fixture(scope="session")
def prepare() -> Callable[[list[Path], int, tuple[int, ...]], PreparedSet]:
    def run(paths: list[Path], channels: int, size: tuple[int, ...]) -> PreparedSet:
        return prepare_set([str(path) for path in paths], preprocessing(channels, size), workers=0)

    return run
