import numpy as np
import pytest
import torch

from secondread.training.batches.augment import Draw, apply, apply_to_mask, draw

STILL = Draw(flip=False, degrees=0.0, shift=(0.0, 0.0), gain=1.0, offset=0.0)
ALL = ("flip", "rotate", "shift", "intensity")


def images(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random(shape, dtype=np.float32))


def test_no_kind_draws_no_change():
    given = images(2, 1, 8, 8)
    changed, valid = apply(given, None, [draw((), 2, seed) for seed in (0, 1)])
    assert torch.equal(changed, given)
    assert valid is None


def test_flip_mirrors_exactly_and_only_the_image_that_drew_it():
    given, valid = images(2, 1, 4, 6), images(2, 1, 4, 6) > 0.5
    flip = Draw(flip=True, degrees=0.0, shift=(0.0, 0.0), gain=1.0, offset=0.0)
    changed, changed_valid = apply(given, valid, [flip, STILL])
    assert torch.equal(changed[0], given[0].flip(-1))
    assert torch.equal(changed[1], given[1])
    assert torch.equal(changed_valid[0], valid[0].flip(-1))


@pytest.mark.parametrize("size", [(8, 8), (4, 8, 8)])
def test_a_shift_by_whole_pixels_moves_by_whole_pixels(size):
    given = images(1, 2, *size)
    rank = len(size)
    one_down = Draw(False, 0.0, (*(0.0,) * (rank - 2), 1 / 8, 0.0), 1.0, 0.0)
    changed, _ = apply(given, None, [one_down])
    torch.testing.assert_close(changed[..., :-1, :], given[..., 1:, :])


def test_a_quarter_turn_turns_in_the_plane_of_the_last_two_axes():
    given = images(1, 1, 3, 8, 8)
    changed, _ = apply(given, None, [Draw(False, 90.0, (0.0, 0.0, 0.0), 1.0, 0.0)])
    turns = [given.rot90(k, (-2, -1)) for k in (1, 3)]
    assert any(torch.allclose(changed, turned, atol=1e-5) for turned in turns)


def test_what_moves_in_is_not_valid():
    valid = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    _, moved = apply(images(1, 1, 8, 8), valid, [Draw(False, 0.0, (0.25, 0.0), 1.0, 0.0)])
    assert moved.dtype == torch.bool
    assert moved[0, 0].sum(1).tolist() == [8] * 6 + [0] * 2


def test_draws_are_small_and_follow_the_seed():
    drawn = [draw(ALL, 3, seed) for seed in range(200)]
    assert drawn == [draw(ALL, 3, seed) for seed in range(200)]
    assert {d.flip for d in drawn} == {True, False}
    assert max(abs(d.degrees) for d in drawn) <= 10
    assert max(abs(value) for d in drawn for value in d.shift) <= 0.05


def test_one_kind_draws_the_same_with_and_without_the_others():
    assert draw(("rotate",), 2, 5).degrees == draw(ALL, 2, 5).degrees


def test_intensity_is_a_gain_and_an_offset():
    given = images(1, 1, 4, 4)
    changed, _ = apply(given, None, [Draw(False, 0.0, (0.0, 0.0), 1.1, 0.05)])
    torch.testing.assert_close(changed, given * 1.1 + 0.05)


def test_a_stage_says_how_far_images_are_turned():
    turns = [draw(("rotate",), 3, seed, rotation=2.0).degrees for seed in range(200)]
    assert 1.8 < max(turns) <= 2.0
    assert -2.0 <= min(turns) < -1.8
    assert max(draw(("rotate",), 2, seed).degrees for seed in range(200)) > 9.0


def test_a_mask_moves_as_its_image_does():
    square = torch.zeros(4, 1, 16, 16, dtype=torch.bool)
    square[:, :, 4:9, 6:12] = True
    draws = [draw(("flip", "rotate", "shift"), 2, seed) for seed in range(4)]
    moved, _ = apply(square.float(), None, draws)
    marked = apply_to_mask(square, draws)
    assert marked.dtype == torch.bool
    assert not torch.equal(marked, square)
    assert (marked == (moved > 0.5)).float().mean() > 0.97
