import numpy as np
import pytest

from secondread.anomalies.resized import Cut, Scene, cut_out, place_for, resized


def scene(thing, valid=None, low=None, side=None):
    there = np.ones_like(thing) if valid is None else valid
    size = thing.shape
    values = np.arange(thing.size, dtype=np.float32).reshape(1, *size)
    return Scene(values, there, thing, low or [0] * len(size), side or list(size))


def test_the_first_centre_whose_box_has_enough_object_is_taken():
    thing = np.zeros((20, 20), dtype=bool)
    thing[10:, :] = True
    centres = np.array([[4.0, 5.0], [11.0, 6.0], [12.0, 6.0]]) - 2
    drawn = (centres + 0.5) / 16  # of centres 2 to 17
    cut = cut_out(scene(thing), [2, 3], [2, 2], 0.75, drawn)
    assert cut is not None
    assert cut.size == (4, 6)
    np.testing.assert_array_equal(cut.values[0], scene(thing).values[0, 9:13, 3:9])
    assert int(cut.object.sum()) == 18
    cut = cut_out(scene(thing), [2, 3], [2, 2], 0.8, drawn)
    assert cut is not None
    assert float(cut.values[0, 0, 0]) == 10 * 20 + 3
    assert cut_out(scene(thing), [2, 3], [2, 2], 0.8, drawn[:2]) is None


def test_a_box_is_cut_off_where_nothing_is_valid_any_more():
    thing = np.ones((20, 20), dtype=bool)
    cut = cut_out(scene(thing, low=[4, 0], side=[10, 20]), [5, 5], [2, 2], 0.5, np.zeros((1, 2)))
    assert cut is not None
    assert float(cut.values[0, 0, 0]) == 4 * 20
    assert cut.size == (7, 7)


def test_values_are_linear_between_the_centres_of_positions():
    full = np.ones((4, 4), dtype=bool)
    edge = full.copy()
    edge[:, :1] = False
    ramp = np.tile(np.arange(4.0), (1, 4, 1))
    found = resized(Cut(ramp, edge, edge), (4, 8))  # the third is object by three quarters of edge
    np.testing.assert_allclose(
        found.values[0, 0], np.interp((np.arange(8) + 0.5) / 2 - 0.5, range(4), range(4))
    )
    assert found.valid[0].tolist() == [False, False, False, True, True, True, True, True]
    assert found.object[0].tolist() == [False, False, True, True, True, True, True, True]
    volume = Cut(np.zeros((2, 4, 5, 6)), np.ones((4, 5, 6), dtype=bool), np.ones((4, 5, 6), dtype=bool))
    assert resized(volume, (6, 5, 4)).values.shape == (2, 6, 5, 4)


@pytest.mark.parametrize(("overlap", "first"), [(0.5, [4, 2]), (0.9, [9, 2]), (1.0, None)])
def test_the_patchs_object_has_to_fall_on_the_images(overlap, first):
    thing = np.zeros((20, 20), dtype=bool)
    thing[8:, 3:] = True
    cut = Cut(np.zeros((1, 6, 5)), np.ones((6, 5), dtype=bool), np.ones((6, 5), dtype=bool))
    cut.object[:, :1] = overlap == 1.0
    drawn = (np.array([[0.0, 0.0], [4.0, 2.0], [9.0, 2.0]]) + 0.5) / np.array([15.0, 16.0])
    if first == [4, 2]:
        cut.object[:2] = False
    assert place_for(cut, scene(thing), 0.5, overlap, drawn) == first


def test_a_patch_without_enough_object_goes_nowhere():
    cut = Cut(np.zeros((1, 4, 4)), np.ones((4, 4), dtype=bool), np.eye(4, dtype=bool))
    everything = scene(np.ones((9, 9), dtype=bool))
    assert place_for(cut, everything, 0.3, 0.1, np.zeros((1, 2))) is None
    assert place_for(cut, everything, 0.25, 0.1, np.zeros((1, 2))) == [0, 0]
