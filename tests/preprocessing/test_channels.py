"""Each file of a row is prepared as a channel of its own."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image as Picture

from secondread.errors import UserError
from secondread.images.in_memory import image_of
from secondread.images.read import read_image
from secondread.preprocessing.alignment.align import Align
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.prepare import prepare_many
from secondread.preprocessing.prepared_set import prepare_set
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings
from secondread.preprocessing.standardise import Standardise
from secondread.preprocessing.window import Window
from secondread.recipes.recipe import Recipe


@pytest.fixture
def reference(tmp_path: Path) -> str:
    """Two sequences with other units: one up to 200, one up to 3,000."""
    paths = []
    for number, highest in enumerate((200, 3000)):
        values = np.random.default_rng(number).integers(0, highest, (10, 12, 9)).astype(np.int16)
        paths.append(tmp_path / f"{number}.nii.gz")
        nibabel.Nifti1Image(values, np.diag([1.0, 1, 2, 1])).to_filename(paths[-1])
    return "|".join(map(str, paths))


def preprocessing(*steps, size=(9, 12, 10), files=2, **more) -> Preprocessing:
    return Preprocessing(PreprocessingSettings(size=size, files=files, steps=steps, **more))


@pytest.mark.parametrize("steps", [(Standardise(),), (Window(window="minmax"),)])
def test_each_file_is_windowed_and_standardised_by_itself(reference, steps) -> None:
    found = preprocessing(*steps).apply(read_image(reference))
    assert found.pixels.shape == (2, 9, 12, 10)
    for channel, path in zip(found.pixels, reference.split("|"), strict=True):
        alone = preprocessing(*steps, files=1).apply(read_image(path))
        np.testing.assert_array_equal(channel, alone.pixels[0])


def test_a_map_comes_back_on_the_first_files_grid(reference) -> None:
    found = preprocessing(Standardise(), size=(6, 8, 8)).apply(read_image(reference))
    brought = found.placement.to_file_grid(found.pixels[0])
    assert brought.shape == nibabel.load(reference.split("|")[0]).shape


def test_an_array_in_memory_has_its_files_along_the_first_axis(reference) -> None:
    how = preprocessing(Standardise())
    image = read_image(reference)
    np.testing.assert_array_equal(how.apply(image_of(image.pixels, 3)).pixels, how.apply(image).pixels)


def test_the_cache_knows_the_files_until_one_of_them_changes(reference, tmp_path: Path) -> None:
    how, cache = preprocessing(Standardise()), Cache(tmp_path / "cache")
    first = next(prepare_many([reference], how, cache=cache, workers=1))
    kept = cache.find(reference, how.digest)
    assert kept is not None
    np.testing.assert_array_equal(kept.pixels, first.pixels)
    last = Path(reference.split("|")[1])
    nibabel.Nifti1Image(np.ones((10, 12, 9), np.int16), np.diag([1.0, 1, 2, 1])).to_filename(last)
    assert cache.find(reference, how.digest) is None
    again = next(prepare_many([reference], how, cache=cache, workers=0))
    assert not again.pixels[1].any()
    assert any("1.nii.gz: constant" in remark for remark in again.placement.remarks)


def test_images_of_several_files_are_aligned_together(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:48, :48]
    references = []
    for number, (down, right) in enumerate([(0, 0), (1, -1), (-1, 1), (5, 4)]):
        body = np.maximum(0, 1 - ((rows - 24 - down) / 14) ** 2 - ((columns - 24 - right) / 9) ** 2)
        files = []
        for channel, highest in enumerate((200, 100, 50, 250)):
            files.append(str(tmp_path / f"{number}-{channel}.png"))
            Picture.fromarray((body * highest).astype(np.uint8)).save(files[-1])
        references.append("|".join(files))
    steps = (Window(window="minmax"), Align())
    how = preprocessing(*steps, size=(48, 48), files=4)
    unmoved = prepare_set(references, how.unaligned, workers=0)
    found = prepare_set(references, how.fit_prepared(lambda: iter(unmoved[:3])), workers=0)

    def apart(images) -> float:
        return float(np.abs(images[3].pixels - images[0].pixels).mean())

    assert found[3].pixels.shape == (4, 48, 48)
    assert apart(found) < 0.5 * apart(unmoved)


def test_colour_and_several_files_are_not_asked_for_together() -> None:
    with pytest.raises(UserError, match="colour: grey"):
        Recipe.from_mapping(
            {
                "preprocessing": {"size": [32, 32], "files": 4, "colour": "rgb"},
                "detector": {"name": "ae"},
            }
        )
