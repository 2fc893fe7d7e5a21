import numpy as np
import pytest
import torch

from secondread.detectors.contract import Batch
from secondread.detectors.detector_settings import StageSettings
from secondread.scoring.image_source import ArraySource
from secondread.training.batches.copies import ChangedCopies
from secondread.training.batches.loading import Loader

ALL = ("flip", "rotate", "shift", "intensity")
CPU = torch.device("cpu")


@pytest.fixture
def source() -> ArraySource:
    rng = np.random.default_rng(0)
    return ArraySource(rng.random((6, 1, 9, 8)), np.ones((6, 1, 9, 8), dtype=bool))


def test_form_0_is_the_image_itself_whatever_lies_beside_it(source):
    copies = ChangedCopies(source, ALL, 2, seed=1)
    assert len(copies) == 18
    images, valid = copies.batch([1, 0, 2, 15])
    assert np.array_equal(images[[1, 3]], source.images[[0, 5]])
    assert valid[[1, 3]].all()


def test_the_source_keeps_its_own_images(source):
    before = source.images.copy()
    ChangedCopies(source, ("intensity",), 1, seed=1).batch(range(12))
    assert np.array_equal(source.images, before)


def test_every_copy_is_another_and_each_is_the_same_for_the_same_seed(source):
    images, valid = ChangedCopies(source, ALL, 3, seed=1).batch(range(24))
    again, valid_again = ChangedCopies(source, ALL, 3, seed=1).batch(range(24))
    assert np.array_equal(images, again)
    assert np.array_equal(valid, valid_again)
    assert len({image.tobytes() for image in images}) == 24
    others, _ = ChangedCopies(source, ALL, 3, seed=2).batch(range(24))
    assert [np.array_equal(one, other) for one, other in zip(images, others, strict=True)] == [
        row % 4 == 0 for row in range(24)
    ]


def test_a_copy_does_not_depend_on_the_batch_it_is_read_in(source):
    copies = ChangedCopies(source, ALL, 3, seed=1)
    together, _ = copies.batch(range(24))
    for row in range(24):
        assert np.array_equal(copies.batch([row])[0][0], together[row])


def test_a_copy_moves_its_valid_mask_with_it(source):
    left = np.broadcast_to(np.arange(8) < 4, source.valid.shape)
    copies = ChangedCopies(ArraySource(source.images, left), ("flip",), 3, seed=1)
    images, valid = copies.batch(range(24))
    flipped = [not np.array_equal(image, source.images[row // 4]) for row, image in enumerate(images)]
    assert 0 < sum(flipped) < 18
    assert [bool(mask[0, 0, -1]) for mask in valid] == flipped
    assert ChangedCopies(ArraySource(source.images), ALL, 1, seed=1).batch([1, 3])[1] is None


def test_a_process_draws_for_its_part_of_a_batch_what_the_whole_batch_draws(source):
    copies = ChangedCopies(source, ALL, 3, seed=1)
    whole = copies.drawn(np.array([4, 0, 3, 2]), 5, 0)
    parts = [copies.drawn(np.array(part), 5, 0) for part in ([4, 0], [3, 2])]
    assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(whole // 4, [4, 0, 3, 2])


def test_over_epochs_every_form_is_drawn_about_equally_often_and_two_views_are_two_forms(source):
    copies = ChangedCopies(source, ALL, 3, seed=1)
    first, second = (
        np.concatenate([copies.drawn(np.arange(6), epoch, view) for epoch in range(200)]) for view in (0, 1)
    )
    for drawn in (first, second):
        assert np.allclose(np.bincount(drawn % 4) / 1200, 0.25, atol=0.05)
    assert np.array_equal(first // 4, second // 4)
    assert not np.any(first == second)


def test_the_digests_follow_the_image_the_kinds_and_the_seed(source):
    digests = ChangedCopies(source, ALL, 2, seed=1).digests
    assert len(set(digests)) == 18
    assert digests[::3] == source.digests
    for other in (ChangedCopies(source, ALL, 2, seed=2), ChangedCopies(source, ("flip",), 2, seed=1)):
        assert set(digests) & set(other.digests) == set(source.digests)


@pytest.mark.parametrize("copies", [None, 2])
def test_two_views_are_of_the_same_images_and_differ(source, copies):
    given = source if copies is None else ChangedCopies(source, ("intensity",), copies, seed=1)
    loader = Loader({"normal": given}, CPU, augment=("intensity",), seed=1, views=2)
    batch = loader.cohort("normal", np.array([3, 1]), epoch=0)
    (other,) = batch.others
    assert other.others == ()
    originals = torch.from_numpy(source.images[[3, 1]])
    for view in (batch, other):
        for image, original in zip(view.images, originals, strict=True):
            assert torch.corrcoef(torch.stack([image.flatten(), original.flatten()]))[0, 1] > 0.9999
    assert not torch.equal(batch.images[0], other.images[0])
    assert not torch.equal(batch.images[1], other.images[1])
    alone = Loader({"normal": given}, CPU, augment=("intensity",), seed=1)
    assert torch.equal(alone.cohort("normal", np.array([3, 1]), epoch=0).images, batch.images)


@pytest.mark.parametrize("copies", [None, 4])
def test_any_number_of_views_is_of_the_same_images_and_all_differ(source, copies):
    given = source if copies is None else ChangedCopies(source, ALL, copies, seed=1)
    named = {"augment": ALL, "seed": 1}
    batch = Loader({"normal": given}, CPU, **named, views=5).cohort("normal", np.array([3, 1]), epoch=0)
    assert [len(other) for other in batch.others] == [2] * 4
    views = [batch.images, *(other.images for other in batch.others)]
    for image in range(2):
        assert len({view[image].numpy().tobytes() for view in views}) == 5
    fewer = Loader({"normal": given}, CPU, **named, views=3).cohort("normal", np.array([3, 1]), epoch=0)
    for one, same in zip(fewer.others, batch.others, strict=False):
        assert torch.equal(one.images, same.images)


def test_without_an_epoch_or_a_kind_of_change_there_is_no_other_view(source):
    indices = np.array([3, 1])
    augmented = Loader({"normal": source}, CPU, augment=ALL, views=2)
    assert augmented.cohort("normal", indices).others == ()
    assert Loader({"normal": source}, CPU, views=2).cohort("normal", indices, epoch=0).others == ()


def test_a_batch_moves_with_its_other_views():
    batch = Batch(torch.zeros(2, 1, 4, 4), others=(Batch(torch.ones(2, 1, 4, 4)),) * 2)
    assert [other.images.is_meta for other in batch.to("meta").others] == [True, True]
    assert Batch(torch.zeros(2, 1, 4, 4)).to("meta").others == ()


@pytest.mark.parametrize("copies", [None, 2])
def test_a_batch_says_whose_images_it_has_and_which_files(source, copies):
    patients = [f"p{number // 2}" for number in range(len(source))]
    mine = ArraySource(source.images, patients=patients)
    given = mine if copies is None else ChangedCopies(mine, ALL, copies, seed=1)
    batch = Loader({"normal": given}, CPU, augment=ALL, seed=1).cohort("normal", np.array([3, 1]), epoch=0)
    assert batch.digests == (mine.digests[3], mine.digests[1])
    assert batch.patients == ("p1", "p0")
    assert batch.to("cpu").patients == ("p1", "p0")
    alone = Loader({"normal": source}, CPU).cohort("normal", np.array([3, 1]))
    assert alone.patients == alone.digests


def test_copies_of_nothing_changed_are_refused():
    with pytest.raises(ValueError, match="copies needs augment, which says how they are changed"):
        StageSettings(epochs=1, copies=3)
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        StageSettings(epochs=1, augment=("flip",), copies=0)


def test_masks_come_with_the_images_that_have_them_and_move_with_each_form():
    square = np.zeros((9, 8), bool)
    square[2:6, 1:5] = True
    images = np.stack([square, square]).astype(np.float32)[:, np.newaxis]
    source = ArraySource(images, masks=[square, None])
    for given, augments in ((source, ALL), (ChangedCopies(source, ALL, 3, seed=1), ALL)):
        loader = Loader({"abnormal": given}, CPU, augment=augments, seed=1, masks=True)
        moved = 0
        for epoch in range(6):
            batch = loader.cohort("abnormal", np.array([0, 1]), epoch)
            assert batch.has_target.tolist() == [True, False]
            assert not batch.target[1].any()
            brightest = batch.images[0] > batch.images[0].mean()
            assert (brightest == batch.target[0]).float().mean() > 0.85
            moved += not np.array_equal(batch.target[0, 0].numpy(), square)
        assert moved
        assert loader.cohort("abnormal", np.array([1])).target is None
        unasked = Loader({"abnormal": given}, CPU, augment=augments, seed=1)
        assert unasked.cohort("abnormal", np.array([0])).target is None
