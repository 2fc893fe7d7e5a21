import numpy as np
import torch

from secondread.scoring.image_source import ArraySource
from secondread.tiling.window_settings import WindowSettings
from secondread.training.batches.loading import Loader
from secondread.training.batches.patches import Patches


def images(count: int = 3, *size: int) -> ArraySource:
    """Each pixel holds its own number."""
    shape = (count, 1, *(size or (12, 10)))
    return ArraySource(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))


def patches(source: ArraySource, **settings: object) -> Patches:
    window = WindowSettings.model_validate({"size": (4, 5), "patches": 6, **settings})
    return Patches(source, window, source.images.shape[2:], seed=0)


def test_patches_are_parts_of_their_images() -> None:
    source = images()
    found = patches(source)
    cut, valid = found.batch(range(len(found)))
    assert cut.shape == (18, 1, 4, 5)
    assert valid is None
    for row, patch in enumerate(cut):
        first = int(patch[0, 0, 0]) - 120 * (row // 6)
        top, left = divmod(first, 10)
        assert (patch == source.images[row // 6, :, top : top + 4, left : left + 5]).all()
    assert len({float(patch[0, 0, 0]) for patch in cut[:6]}) > 1


def test_places_are_drawn_anew_in_an_epoch_and_otherwise_stay() -> None:
    found, rows = patches(images()), range(18)
    assert (found.batch(rows)[0] == found.batch(rows)[0]).all()
    first, second = (found.in_epoch(epoch).batch(rows)[0] for epoch in (1, 2))
    assert not (first == second).all()
    assert (first == found.in_epoch(1).batch(rows)[0]).all()
    assert (first[7] == found.in_epoch(1).batch([7])[0][0]).all()


def test_each_patch_has_a_digest_of_its_own_and_its_image_s_patient() -> None:
    source = images()
    found = patches(source)
    assert len(set(found.digests)) == 18
    assert list(found.patients) == [patient for patient in source.patients for _ in range(6)]
    assert found.digests != patches(source, patches=6, content=0.5).digests


def test_patches_lie_where_the_image_is_valid() -> None:
    valid = np.zeros((2, 1, 12, 10), bool)
    valid[0, 0, 6:, 4:] = True
    source = ArraySource(np.zeros((2, 1, 12, 10), np.float32), valid)
    _, held = patches(source, content=0.9).batch(range(12))
    assert held is not None
    assert (held[:6].mean(axis=(1, 2, 3)) >= 0.9).all()
    assert not held[6:].any()


def test_masks_are_cut_as_their_images_are() -> None:
    source = images(2)
    marks = [np.asarray(source.images[0, 0] % 2 == 0), None]
    masked = ArraySource(source.images, masks=marks)
    found = patches(masked).targets(range(12))
    assert found is not None
    cut = patches(masked).batch(range(12))[0]
    assert (found[0][:6] == (cut[:6] % 2 == 0)).all()
    assert found[1].tolist() == [True] * 6 + [False] * 6


def test_a_loader_moves_patches_in_training_and_leaves_held_out_ones() -> None:
    loader = Loader({"normal": patches(images())}, torch.device("cpu"))
    rows = np.arange(18)
    training = [loader.cohort("normal", rows, epoch).images for epoch in (0, 1)]
    held_out = [loader.cohort("normal", rows).images for _ in range(2)]
    assert not torch.equal(*training)
    assert torch.equal(*held_out)
