import numpy as np
import pytest
import torch
from scipy import ndimage

from secondread.anomalies import neighbourhoods
from secondread.anomalies.neighbourhoods import inner, interior, majority, medians

SIZES = [(13, 17), (7, 8, 9)]


def ball(radius, rank):
    grid = np.indices((2 * radius + 1,) * rank) - radius
    return (grid**2).sum(axis=0) <= radius**2


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("radius", [0, 2])
def test_medians_are_those_of_scipys_rank_filter(size, radius, monkeypatch):
    random = np.random.default_rng(0)
    values, places = random.random(size, dtype=np.float32), random.random(size) < 0.3
    expected = ndimage.median_filter(values, footprint=ball(radius, len(size)), mode="nearest")
    np.testing.assert_array_equal(medians(values, places, radius), expected[places])
    monkeypatch.setattr(neighbourhoods, "TOGETHER", 100)  # some places at a time
    np.testing.assert_array_equal(medians(values, places, radius), expected[places])
    assert len(medians(values, np.zeros(size, dtype=bool), radius)) == 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_majority_is_scipys_median_of_the_mask(size, share):
    random = np.random.default_rng(1)
    mask = random.random(size) < share
    mask[: size[0] // 2] |= random.random(size[1:]) < 0.5
    expected = ndimage.median_filter(mask.astype(np.uint8), size=5, mode="nearest") > 0
    np.testing.assert_array_equal(majority(mask, 5), expected)
    assert not majority(np.zeros(size, dtype=bool), 5).any()


@pytest.mark.parametrize("size", SIZES)
def test_the_inner_part_has_all_its_neighbours_in_the_mask(size):
    mask = np.random.default_rng(2).random((3, *size)) < 0.9
    cross = ndimage.generate_binary_structure(len(size), 1)
    expected = np.stack([ndimage.binary_erosion(one, cross) for one in mask])
    np.testing.assert_array_equal(interior(mask, len(size)), expected)
    images = torch.zeros(3, 2, *size)
    assert torch.equal(inner(torch.from_numpy(mask)[:, None], images)[:, 0], torch.from_numpy(expected))
    everywhere = inner(None, images)
    assert int(everywhere.sum()) == 3 * np.prod([length - 2 for length in size])
