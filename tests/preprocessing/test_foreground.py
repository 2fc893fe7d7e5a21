"""What counts as the image: by a threshold, or by a mask that comes with it."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image as Picture
from scipy.ndimage import binary_fill_holes

from secondread.errors import UserError
from secondread.images.image import ImageError
from secondread.images.in_memory import image_of
from secondread.images.read import read_image
from secondread.preprocessing.alignment.align import Align
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.foreground import Above
from secondread.preprocessing.prepare import prepare_many
from secondread.preprocessing.prepared import Prepared
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings
from secondread.preprocessing.standardise import Standardise
from secondread.recipes.recipe import Recipe

AS_IT_IS = {"window": {"low": 0.0, "high": 1.0}}
DISC = np.hypot(*np.mgrid[-8:8, -8:8]) < 6


def preprocessing(foreground, *steps, size=(16, 16), **more) -> Preprocessing:
    given = {"size": size, "steps": steps or (AS_IT_IS,), "foreground": foreground, **more}
    return Preprocessing(PreprocessingSettings.model_validate(given))


def head() -> np.ndarray:
    """A disc with a hole, faint noise around it, and a speck away from it."""
    values = np.where(DISC, 0.6, 0.01 * np.random.default_rng(0).random((16, 16)))
    values[7:9, 7:9], values[0, 0] = 0.0, 0.9
    return values.astype(np.float32)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, head() > 0.05),
        ({"largest": True}, (head() > 0.05) & DISC),
        ({"filled": True}, binary_fill_holes(head() > 0.05)),
        ({"largest": True, "filled": True}, DISC),
    ],
)
def test_above_a_value_is_foreground_and_all_else_is_not_valid(how, expected) -> None:
    found = preprocessing({"above": 0.05, **how}).apply(image_of(head(), 2))
    np.testing.assert_array_equal(found.valid, expected)
    np.testing.assert_array_equal(found.pixels[0], np.where(expected, head(), 0.0))


def test_one_channel_above_is_enough_and_colour_stays_one_plane() -> None:
    two = np.zeros((2, 16, 16), np.float32)
    two[0, :4], two[1, 2:6] = 0.5, 0.5
    found = preprocessing({"above": 0.1}, files=2).apply(image_of(two, 2))
    np.testing.assert_array_equal(found.valid, two.any(axis=0))
    rgb = preprocessing({"above": 0.05}, colour="rgb").apply(image_of(head(), 2))
    assert (rgb.pixels.shape, rgb.pixels.strides[0]) == ((3, 16, 16), 0)


def test_padding_is_no_foreground_however_bright() -> None:
    found = preprocessing({"above": -1.0}, fit="pad").apply(image_of(head()[:8], 2))
    np.testing.assert_array_equal(found.valid[4:12], True)
    assert not found.valid[:4].any()


def test_where_nothing_lies_above_the_image_stays_whole_with_a_remark() -> None:
    found = preprocessing({"above": 5.0}).apply(image_of(head(), 2))
    assert found.valid is None
    assert found.placement.remarks == (
        "no value lies above 5: the whole image counts as foreground",
    )  # fmt: skip


def test_an_aligned_image_takes_its_foreground_along() -> None:
    how = preprocessing({"above": 0.05, "largest": True, "filled": True}, AS_IT_IS, Align())
    images = [np.roll(head(), shift, axis=1) for shift in (-1, 0, 0, 1)]
    how.fit(lambda: (image_of(image, 2) for image in images))
    found = how.apply(image_of(images[0], 2))
    assert found.placement.aligned == "aligned"
    assert (found.valid == (found.pixels[0] > 0.3)).mean() > 0.9


@pytest.fixture
def with_mask(tmp_path: Path) -> str:
    """A volume with a bright rim that its mask leaves out."""
    values = np.random.default_rng(1).normal(100, 5, (8, 9, 10)).astype(np.float32)
    values[0], values[-1] = 5000, -5000
    inside = np.zeros(values.shape, np.uint8)
    inside[2:6, 2:7] = 1
    for name, array in (("image", values), ("mask", inside)):
        nibabel.Nifti1Image(array, np.eye(4) * [2, 2, 2, 1]).to_filename(tmp_path / f"{name}.nii.gz")
    return f"{tmp_path / 'image.nii.gz'}|{tmp_path / 'mask.nii.gz'}"


def given(*steps, **more) -> Preprocessing:
    return preprocessing("given", *steps, size=(10, 9, 8), **more)


def test_a_given_mask_is_no_channel_and_statistics_are_of_its_inside(with_mask) -> None:
    found = given(Standardise()).apply(read_image(with_mask))
    assert found.pixels.shape == (1, 10, 9, 8)
    inside = found.pixels[0][found.valid]
    assert inside.mean() == pytest.approx(0, abs=1e-5)
    assert inside.std() == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(found.pixels[0][~found.valid], inside.min())
    assert found.valid.sum() == 4 * 5 * 10


def test_an_array_in_memory_has_its_mask_last(with_mask) -> None:
    image = read_image(with_mask)
    found, judged = (given(Standardise()).apply(each) for each in (image, image_of(image.pixels, 3)))
    np.testing.assert_array_equal(found.pixels, judged.pixels)
    np.testing.assert_array_equal(found.valid, judged.valid)


def test_facts_of_the_image_are_those_without_its_mask(with_mask) -> None:
    image_alone = read_image(with_mask.partition("|")[0])
    alone = preprocessing("none", Standardise(), size=(10, 9, 8)).apply(image_alone)
    found = given(Standardise()).apply(read_image(with_mask))
    assert found.acquisition == alone.acquisition
    assert found.content == alone.content
    assert found.digest != alone.digest
    np.testing.assert_array_equal(found.thumbnail, alone.thumbnail)


def test_another_mask_is_prepared_anew(with_mask, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    (first,) = prepare_many([with_mask], given(), cache=cache, workers=0)
    other = np.zeros((8, 9, 10), np.uint8)
    other[3:5] = 255
    nibabel.Nifti1Image(other, np.eye(4) * [2, 2, 2, 1]).to_filename(with_mask.partition("|")[2])
    (second,) = prepare_many([with_mask], given(), cache=cache, workers=0)
    assert isinstance(first, Prepared)
    assert isinstance(second, Prepared)
    assert (first.valid.sum(), second.valid.sum()) == (200, 180)


def test_an_empty_mask_one_of_another_grid_and_none_are_one_line_each(with_mask, tmp_path: Path) -> None:
    path, _, mask = with_mask.partition("|")
    with pytest.raises(ImageError, match="prepares images of 1 and a mask of the foreground; name 2 files"):
        given().apply(read_image(path))
    nibabel.Nifti1Image(np.zeros((8, 9, 10), np.uint8), np.eye(4) * [2, 2, 2, 1]).to_filename(mask)
    with pytest.raises(ImageError, match=r"mask\.nii\.gz, the mask of its foreground, marks nothing"):
        given().apply(read_image(with_mask))
    nibabel.Nifti1Image(np.ones((8, 9, 5), np.uint8), np.eye(4) * [2, 2, 2, 1]).to_filename(mask)
    with pytest.raises(ImageError, match=r"mask\.nii\.gz and image\.nii\.gz have other sizes"):
        read_image(with_mask)


def test_a_mask_that_is_cropped_away_is_one_line(tmp_path: Path) -> None:
    for name, array in (("a", np.full((20, 20), 90)), ("m", np.eye(1, 400).reshape(20, 20) * 255)):
        Picture.fromarray(array.astype(np.uint8)).save(tmp_path / f"{name}.png")
    with pytest.raises(ImageError, match="nothing of its foreground is left on the prepared grid"):
        preprocessing("given", size=(8, 8), fit="crop").apply(
            read_image(f"{tmp_path / 'a.png'}|{tmp_path / 'm.png'}")
        )


def test_several_channels_share_a_mask(with_mask) -> None:
    path, _, mask = with_mask.partition("|")
    found = given(Standardise(), files=2).apply(read_image(f"{path}|{path}|{mask}"))
    alone = given(Standardise()).apply(read_image(with_mask))
    np.testing.assert_array_equal(found.pixels[0], found.pixels[1])
    np.testing.assert_array_equal(found.pixels[:1], alone.pixels)
    np.testing.assert_array_equal(found.valid, alone.valid)


def test_recipes_without_a_foreground_keep_their_digest() -> None:
    assert Preprocessing(Recipe.load("ae").preprocessing).digest == "fa5453461dee0a345000379f3e19b1ab1aac2aec"
    digests = {preprocessing(how).digest for how in ("none", "given", {"above": 0.1}, {"above": 0.2})}
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ("givn", "should be none, given, regions, or a threshold such as {above: 0.05}"),
        ("{abov: 1, above: 1}", "did you mean above?"),
        ("{above: high}", "should be a valid number"),
    ],
)
def test_a_misspelt_foreground_is_one_line(written, line) -> None:
    with pytest.raises(UserError) as caught:
        Recipe.load("ae", set=[f"preprocessing.foreground={written}"])
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_foreground_is_written_and_read_as_yaml() -> None:
    recipe = Recipe.load("ae", set=["preprocessing.foreground.above=0.1"])
    assert recipe.preprocessing.foreground == Above(above=0.1)
    assert Recipe.from_mapping({**recipe.model_dump(mode="json")}) == recipe


def test_eroding_without_a_foreground_is_refused() -> None:
    with pytest.raises(UserError, match="there is no foreground; set"):
        Recipe.load("ae", set=["maps.erode=2"])
    assert Recipe.load("ae", set=["maps.erode=2", "preprocessing.foreground=given"]).maps.erode == 2
