"""Arrays and tensors in place of files: what is taken, what is refused in one line, and what is kept."""

import gc
from pathlib import Path

import numpy as np
import pytest
import torch

from secondread.cohorts.arrays.manifest_of_arrays import manifest_of_arrays
from secondread.errors import UserError
from secondread.images.read import read_image

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "how", "expected"),
    [
        ((4, 8, 6), {}, (1, 8, 6)),
        ((4, 1, 8, 6), {}, (1, 8, 6)),
        ((4, 3, 8, 6), {}, (3, 8, 6)),
        ((4, 4, 8, 6), {"files": 4}, (4, 8, 6)),
        ((4, 5, 8, 3), {"rank": 3}, (1, 5, 8, 3)),
        ((4, 1, 3, 8, 6), {"rank": 3}, (1, 3, 8, 6)),
        ((4, 3, 5, 8, 6), {"rank": 3}, (3, 5, 8, 6)),
    ],
)
@pytest.mark.parametrize("kind", ["array", "tensor", "list"])
def test_an_image_is_read_back_as_it_was(kind, shape, how, expected) -> None:
    given = RNG.normal(size=shape).astype(np.float32)
    images = {"array": given, "tensor": torch.from_numpy(given), "list": list(given)}[kind]
    manifest = manifest_of_arrays(images, [0, 1, None, "normal"], **how)
    assert [row.label for row in manifest] == ["normal", "abnormal", "", "normal"]
    found = read_image(manifest.reference(manifest.rows[2]))
    assert found.pixels.shape == expected
    np.testing.assert_array_equal(found.pixels, given[2].reshape(expected))


def test_images_of_other_sizes_and_types_lie_beside_each_other() -> None:
    images = [RNG.normal(size=(8, 8)), RNG.integers(0, 255, (3, 5, 6), np.uint8), np.eye(7) > 0]
    manifest = manifest_of_arrays(images, spacing=[0.5, 2.0])
    found = [read_image(manifest.reference(row)) for row in manifest]
    assert [image.pixels.shape for image in found] == [(1, 8, 8), (3, 5, 6), (1, 7, 7)]
    assert found[0].geometry.spacing == (0.5, 2.0)
    assert "taken for normal" in manifest.notes[0]


def test_bfloat16_tensors_and_masks_are_taken() -> None:
    images = torch.rand(3, 8, 8).bfloat16()
    manifest = manifest_of_arrays(images, [0, 1, 1], masks=[None, np.eye(8), None], patients=["a", "b", "b"])
    mask = read_image(manifest.mask_reference(manifest.rows[1]) or "")
    assert mask.pixels.sum() == 8
    assert [bool(row.mask) for row in manifest] == [False, True, False]
    assert [row.patient_id for row in manifest] == ["a", "b", "b"]


def test_the_folder_goes_with_its_last_manifest(tmp_path: Path) -> None:
    manifest = manifest_of_arrays(RNG.normal(size=(4, 8, 8)), [0, 0, 1, 1])
    place, kept = manifest.base, manifest.where("label=abnormal")
    del manifest
    gc.collect()
    assert place.is_dir()
    del kept
    gc.collect()
    assert not place.exists()
    stays = manifest_of_arrays(RNG.normal(size=(2, 8, 8)), folder=tmp_path / "kept")
    assert stays.base == tmp_path / "kept"


def holed() -> np.ndarray:
    images = np.zeros((3, 4, 4))
    images[1, 2, 2] = np.nan
    return images


@pytest.mark.parametrize(
    ("images", "how", "words"),
    [
        (np.zeros((4, 4)), {}, "no stack of pictures.*images\\[None\\]"),
        (np.zeros((3, 8, 8, 3)), {}, "np.moveaxis\\(images, -1, -3\\)"),
        (np.zeros((3, 64, 8, 8)), {}, "64 channels.*a recipe for volumes"),
        (np.zeros((3, 3, 8, 8)), {"rank": 3}, "may be a volume of 3 slices or a picture"),
        (np.zeros((3, 1, 8, 8)), {"rank": 3}, "may be a volume of 1 slice or a picture"),
        (np.zeros((3, 9, 8, 8)), {}, "recipe for volumes \\(rank=3 of manifest_of_arrays\\)"),
        ([np.zeros((3, 8, 8))], {"rank": 3}, "may be a volume of 3 slices"),
        (np.zeros((3, 5, 8, 8, 8)), {"rank": 3}, "give \\[C, \\*spatial\\] with C 1 or 3"),
        (np.zeros((0, 8, 8)), {}, "at least one array"),
        (holed(), {}, "image 1: 1 NaN"),
        ([np.zeros((4, 4)), np.zeros(4)], {}, "image 1: an array of shape \\(4,\\)"),
        ([np.array([["a"]])], {}, "image 0: an array of <U1 is no image"),
        (np.zeros((3, 4, 4)), {"labels": [0, 1]}, "labels: 2 were given for 3 images"),
        (np.zeros((2, 4, 4)), {"labels": [0, 2]}, "label 1 is '2'"),
        (np.zeros((2, 4, 4)), {"patients": ["a"]}, "patients: 1 were given for 2 images"),
        (np.zeros((2, 4, 4)), {"split": "tests"}, "split: 'tests' is none of"),
        (np.zeros((2, 4, 4)), {"masks": [None]}, "masks: 1 were given for 2 images"),
        (np.zeros((1, 4, 4)), {"masks": [np.eye(5)]}, "mask 0: is 5×5, and its image is 4×4"),
        (np.zeros((1, 4, 4)), {"spacing": [1.0]}, "not 2 millimetres above 0"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(images, how, words) -> None:
    with pytest.raises(UserError, match=words) as refused:
        manifest_of_arrays(images, **how)
    assert "\n" not in str(refused.value)
