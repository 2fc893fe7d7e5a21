import pytest
import torch

from secondread.networks.self_supervised.masked_patches import (
    PatchDecoder,
    hidden_patches,
    on_pixels,
    pixels_of_patches,
)


def test_so_many_patches_of_each_image_are_hidden_and_never_all():
    hidden = hidden_patches(50, (4, 5), 0.6, torch.Generator().manual_seed(0))
    assert hidden.shape == (50, 1, 4, 5)
    assert set(hidden.flatten(1).sum(dim=1).tolist()) == {12}
    assert hidden.float().mean(dim=0).min() > 0.2  # anywhere
    for share in (0.001, 0.999):
        hidden = hidden_patches(3, (2, 2), share, torch.Generator())
        assert 0 < int(hidden[0].sum()) < 4


@pytest.mark.parametrize("size", [(4, 6), (4, 2, 6)])
def test_a_patch_has_its_pixels_and_a_hidden_one_covers_them(size):
    images = torch.rand(2, 3, *size)
    grid = tuple(length // 2 for length in size)
    patches = pixels_of_patches(images, 2)
    assert patches.shape == (2, 3 * 2 ** len(size), *grid)
    first = images[(slice(None), slice(None), *[slice(0, 2)] * len(size))]
    torch.testing.assert_close(patches.flatten(2)[..., 0], first.flatten(1))
    last = images[(slice(None), slice(None), *[slice(length - 2, length) for length in size])]
    torch.testing.assert_close(patches.flatten(2)[..., -1], last.flatten(1))
    hidden = torch.zeros(1, 1, *grid)
    hidden.view(-1)[-1] = 1
    away = on_pixels(hidden, 2)
    assert away.shape == (1, 1, *size)
    assert away.sum() == 2 ** len(size)
    assert away.view(-1)[-1] == 1


def test_levels_are_brought_to_the_patches_grid():
    decoder = PatchDecoder(2, (4, 8), 6, 10)
    assert decoder((torch.rand(2, 4, 8, 8), torch.rand(2, 8, 2, 2)), (4, 4)).shape == (2, 10, 4, 4)
    assert sum(p.numel() for p in decoder.parameters()) == 12 * 6 + 12 + 9 * 36 + 12 + 6 * 10 + 10
