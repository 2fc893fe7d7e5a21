import pytest
import torch

from secondread.anomalies.textures import CHANGES, changed_greys, drawn_textures, fitting


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [(32, 40), (12, 14, 16)])
def test_drawn_textures_reach_from_nought_to_one_and_differ(size):
    found = drawn_textures(generator(), 24, size, torch.device("cpu"))
    flat = found.flatten(1)
    assert found.shape == (24, 1, *size)
    torch.testing.assert_close(flat.amin(dim=1), torch.zeros(24))
    torch.testing.assert_close(flat.amax(dim=1), torch.ones(24))
    assert len({tuple(one.tolist()) for one in flat}) == 24
    greys = [len(one.unique()) for one in flat]
    assert min(greys) <= 6
    assert max(greys) > 100


def test_cells_fit_the_image():
    assert fitting((256, 256), (0, 5)) == [1, 2, 4, 8, 16, 32]
    assert fitting((64, 256), (0, 5)) == [1, 2, 4, 8, 16]
    assert fitting((8, 8), (3, 5)) == [8]


def test_greys_are_changed_by_the_asked_number_and_keep_their_range():
    x = torch.rand(30, 2, 12, 12, generator=generator(1)) ** 2
    assert torch.equal(changed_greys(x, generator(), 0), x)
    for number in (1, 3, CHANGES):
        found = changed_greys(x, generator(), number)
        assert float(found.min()) >= 0
        assert float(found.max()) <= 1
        assert bool((found != x).flatten(1).any(dim=1).all())
    even = changed_greys(x, generator(), CHANGES).flatten(1).sort(dim=1).values
    assert len(even[0].unique()) <= 17
    single = changed_greys(x, generator(), 1)
    inverted = [torch.allclose(one, 1 - own) for one, own in zip(single, x, strict=True)]
    assert 0 < sum(inverted) < 15
