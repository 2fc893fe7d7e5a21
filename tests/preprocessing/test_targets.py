"""Masks on the prepared grid of the images that they outline."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image as Picture

from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.grid import fit_grid
from secondread.preprocessing.prepare_targets import prepare_targets
from secondread.preprocessing.prepared_set import PreparedSet, prepare_set
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings
from secondread.preprocessing.window import Window


@pytest.fixture
def outlined(tmp_path: Path) -> tuple[list[str], list[str | None]]:
    """Two pictures of 40×60, the second without a mask."""
    images, masks = [], []
    for number in range(2):
        values = np.random.default_rng(number).integers(0, 256, (40, 60)).astype(np.uint8)
        images.append(str(tmp_path / f"{number}.png"))
        Picture.fromarray(values).save(images[-1])
    marked = np.zeros((40, 60), np.uint8)
    marked[10:20, 30:45] = 255
    masks = [str(tmp_path / "mask.png"), None]
    Picture.fromarray(marked).save(masks[0])
    return images, masks


def prepared(images: list[str], size: tuple[int, ...], **more) -> PreparedSet:
    steps = (Window(window="minmax"),)
    preprocessing = Preprocessing(PreprocessingSettings(size=size, steps=steps, **more))
    return prepare_set(images, preprocessing, workers=0)


def test_a_mask_lies_on_its_images_prepared_grid(outlined) -> None:
    images, masks = outlined
    found = prepared(images, (20, 30))
    prepare_targets(found, masks, workers=0)
    assert found.target_errors == []
    target, has = found.targets([0, 1])
    assert has.tolist() == [True, False]
    expected = np.zeros((20, 30), bool)
    expected[5:10, 15:23] = True
    np.testing.assert_array_equal(target[0, 0], expected)
    assert not target[1].any()
    assert found.targets([1]) is None
    assert found.target_digests[1] == "" != found.target_digests[0]


def test_padding_moves_the_mask_and_is_not_marked(outlined) -> None:
    images, masks = outlined
    found = prepared(images, (60, 60), fit="pad")
    prepare_targets(found, masks, workers=0)
    target, _ = found.targets([0])
    assert target.sum() == 10 * 15
    assert target[0, 0, 20:30, 30:45].all()


def test_one_marked_pixel_is_not_lost_on_a_coarser_grid() -> None:
    for place in ((0, 0), (17, 33), (39, 59)):
        marked = np.zeros((40, 60), bool)
        marked[place] = True
        for size in ((5, 5), (13, 7), (39, 59), (40, 60)):
            assert fit_grid((40, 60), size, "stretch").cover(marked).sum() == 1


def test_a_finer_grid_repeats_the_nearest_pixel() -> None:
    marked = np.array([[True, False], [False, True]])
    np.testing.assert_array_equal(
        fit_grid((2, 2), (8, 8), "stretch").cover(marked), marked.repeat(4, 0).repeat(4, 1)
    )
    assert fit_grid((2, 2), (8, 8), "place").cover(marked).sum() == 2


def test_a_mask_moves_with_an_aligned_image(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:48, :48]
    images: list[str] = []
    masks: list[str | None] = []
    for number, (down, right) in enumerate([(0, 0), (1, -1), (-1, 1), (5, 4)]):
        distance = ((rows - 24 - down) / 14) ** 2 + ((columns - 24 - right) / 9) ** 2
        body = np.where(distance < 1, 200 - 80 * distance, 10)
        Picture.fromarray(body.astype(np.uint8)).save(tmp_path / f"{number}.png")
        Picture.fromarray(((distance < 0.1) * 255).astype(np.uint8)).save(tmp_path / f"{number}-mask.png")
        images.append(str(tmp_path / f"{number}.png"))
        masks.append(str(tmp_path / f"{number}-mask.png"))
    preprocessing = Preprocessing(
        PreprocessingSettings.model_validate(
            {"size": (48, 48), "steps": [{"window": "minmax"}, {"align": {}}]}
        )
    )
    unmoved = prepare_set(images, preprocessing.unaligned, workers=0)
    found = prepare_set(images, preprocessing.fit_prepared(lambda: iter(unmoved[:3])), workers=0)
    before, after = unmoved, found
    for each in (before, after):
        prepare_targets(each, masks, workers=0)
        assert each.target_errors == []

    def overlap(each: PreparedSet) -> float:
        (first, moved), _ = each.targets([0, 3])
        return (first & moved).sum() / (first | moved).sum()

    assert found.placements[3].alignment is not None
    assert overlap(before) < 0.4
    assert overlap(after) > 0.7


def test_a_mask_of_a_volume_is_taken_in_space(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 200, (12, 10, 8)).astype(np.int16)
    marked = np.zeros_like(values)
    marked[2:5, 3:6, 4:6] = 1
    image, mask = tmp_path / "scan.nii.gz", tmp_path / "mask.nii.gz"
    nibabel.Nifti1Image(values, np.diag([2.0, 2, 3, 1])).to_filename(image)
    flipped = np.diag([-2.0, 2, 3, 1])
    flipped[0, 3] = 22
    nibabel.Nifti1Image(marked[::-1], flipped).to_filename(mask)
    found = prepared([str(image)], (8, 10, 12), fit="place")
    prepare_targets(found, [str(mask)], workers=0)
    assert found.target_errors == []
    target, _ = found.targets([0])
    brought = found.preprocessing.to_file_grid(target[0, 0].astype(np.float32), found.placements[0])
    np.testing.assert_array_equal(brought > 0.5, marked > 0)


def test_a_mask_that_does_not_fit_is_said_and_its_image_stays(outlined, tmp_path: Path) -> None:
    images, masks = outlined
    Picture.fromarray(np.full((40, 41), 255, np.uint8)).save(tmp_path / "other.png")
    found = prepared(images, (20, 30))
    prepare_targets(found, [masks[0], str(tmp_path / "other.png")], workers=1)
    assert [error.path for error in found.target_errors] == [str(tmp_path / "other.png")]
    assert found.targets([0, 1])[1].tolist() == [True, False]


def test_the_cache_holds_masks_until_their_files_change(outlined, tmp_path: Path, monkeypatch) -> None:
    images, masks = outlined
    cache = Cache(tmp_path / "cache")
    first = prepared(images, (20, 30))
    prepare_targets(first, masks, cache=cache, workers=0)

    def unread(*_args, **_more):
        raise AssertionError("read again")

    again = prepared(images, (20, 30))
    with monkeypatch.context() as patch:
        patch.setattr("secondread.preprocessing.prepare_targets.read_image", unread)
        prepare_targets(again, masks, cache=cache, workers=0)
    np.testing.assert_array_equal(again.targets([0])[0], first.targets([0])[0])
    assert again.target_digests == first.target_digests

    (kept,) = (path for path in (tmp_path / "cache" / "targets").rglob("*") if path.is_file())
    kept.write_bytes(kept.read_bytes()[:-1] + b"\0")
    damaged = prepared(images, (20, 30))
    prepare_targets(damaged, masks, cache=cache, workers=0)
    np.testing.assert_array_equal(damaged.targets([0])[0], first.targets([0])[0])

    Picture.fromarray(np.zeros((40, 60), np.uint8)).save(masks[0])
    changed = prepared(images, (20, 30))
    prepare_targets(changed, masks, cache=cache, workers=0)
    assert not changed.targets([0])[0].any()
    cache.clear()
    assert not (tmp_path / "cache" / "targets").exists()
