from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from secondread.images.image import Geometry, Image
from secondread.preprocessing.prepared import Prepared
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings
from secondread.preprocessing.worker_answers import is_sound


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    pixels = np.random.default_rng(0).normal(size=(1, 12, 9)).astype(np.float32)
    image = Image(pixels, Geometry((1.0, 2.0)), "film", "0" * 40)
    settings = PreprocessingSettings.model_validate({"size": (8, 8), "fit": "pad"})
    return Preprocessing(settings).apply(image)


def test_what_preprocessing_gives_is_sound(prepared: Prepared) -> None:
    assert is_sound(prepared, 1, (8, 8), 1000)


@pytest.mark.parametrize(
    "other",
    [
        {"pixels": np.zeros((1, 8, 9), np.float32)},
        {"pixels": np.full((1, 8, 8), np.nan, np.float32)},
        {"valid": np.zeros((8,), bool)},
        {"thumbnail": np.zeros((1, 16), np.float32)},
        {"digest": "../../etc"},
    ],
)
def test_an_image_of_another_kind_is_not(prepared: Prepared, other: dict[str, Any]) -> None:
    assert not is_sound(replace(prepared, **other), 1, (8, 8), 1000)


@pytest.mark.parametrize(
    "other",
    [
        {"array_size": (2_000_000_000, 2)},
        {"array_size": (12,)},
        {"array_size": (-1, 9)},
        {"scale": (0.0, 1.0)},
        {"offset": (float("nan"), 0.0)},
    ],
)
def test_nor_is_one_whose_grid_leads_nowhere(prepared: Prepared, other: dict[str, Any]) -> None:
    placement = replace(prepared.placement, grid=replace(prepared.placement.grid, **other))
    assert not is_sound(replace(prepared, placement=placement), 1, (8, 8), 1000)


@pytest.mark.parametrize(
    "other", [{"file_axes": (0, 0)}, {"file_flips": (True,)}, {"spacing": ()}, {"affine": np.eye(3)}]
)
def test_nor_is_one_whose_axes_are_none(prepared: Prepared, other: dict[str, Any]) -> None:
    geometry = replace(prepared.placement.geometry, **other)
    placement = replace(prepared.placement, geometry=geometry)
    assert not is_sound(replace(prepared, placement=placement), 1, (8, 8), 1000)
