import numpy as np
import pytest
import torch
from scipy import ndimage

from secondread.detectors.blocks.neighbourhood import eroded, neighbourhood_median


@pytest.mark.parametrize(("size", "side"), [((9, 7), 5), ((6, 5, 4), 3)])
def test_the_median_is_that_of_the_places_around_the_map_being_reflected(size, side):
    x = torch.rand(2, 1, *size)
    expected = [ndimage.median_filter(one[0], side, mode="mirror") for one in x.numpy()]
    np.testing.assert_array_equal(neighbourhood_median(x, side)[:, 0].numpy(), np.stack(expected))


def test_a_median_of_one_place_changes_nothing_and_one_wider_than_the_map_is_refused():
    x = torch.rand(1, 1, 2, 5)
    assert neighbourhood_median(x, 1) is x
    with pytest.raises(ValueError, match="larger than"):
        neighbourhood_median(x, 5)


def test_erosion_takes_what_lacks_more_than_a_twentieth_of_its_neighbours_and_spares_the_edge():
    mask = torch.ones(1, 1, 11, 11, dtype=torch.bool)
    mask[..., 5, 5] = False
    kept = eroded(mask, 5)
    assert kept.all()  # 24 of 25 are more than 95 %
    mask[..., 5, 6] = False
    assert not eroded(mask, 5)[..., 3:8, 4:8].any()
    assert eroded(mask, 5)[..., 0, :].all()
    assert torch.equal(eroded(mask, 1), mask)
