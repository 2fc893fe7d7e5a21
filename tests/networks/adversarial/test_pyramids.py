import pytest
import torch

from secondread.networks.adversarial.pyramid import DownPyramid, UpPyramid, halvings_of


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_published_sizes_have_the_parameters_of_dcgan():
    with torch.device("meta"):
        down, up = DownPyramid(2, 1, (64, 64), 100), UpPyramid(2, 1, (64, 64), 100)
    between = 16 * (64 * 128 + 128 * 256 + 256 * 512)
    assert count(down) == 16 * 64 + between + 2 * (128 + 256 + 512) + 16 * 512 * 100
    assert count(up) == 16 * 100 * 512 + between + 2 * (512 + 256 + 128 + 64) + 16 * 64


@pytest.mark.parametrize("size", [(16, 32), (8, 16, 8), (24, 24)])
def test_images_and_volumes_go_there_and_back(size):
    z = torch.randn(3, 5)
    images = UpPyramid(len(size), 2, size, 5, width=2)(z)
    assert images.shape == (3, 2, *size)
    assert images.abs().max() <= 1
    assert DownPyramid(len(size), 2, size, 5, width=2)(images).shape == (3, 5)


def test_the_grid_is_halved_down_to_four_or_while_it_is_even():
    assert halvings_of((64, 64), 2) == 4
    assert halvings_of((48, 48), 2) == 3
    assert halvings_of((8, 64), 2) == 1
    with pytest.raises(ValueError, match="even sizes of at least 8"):
        halvings_of((9, 64), 2)


def test_a_skip_brings_the_maps_of_its_level_and_no_others():
    down, up = DownPyramid(2, 1, (16, 16), 3, width=2), UpPyramid(2, 1, (16, 16), 3, width=2, skips=(1,))
    maps = [x.detach().requires_grad_() for x in down.maps(torch.randn(2, 1, 16, 16))]
    up(torch.randn(2, 3), maps).sum().backward()
    assert maps[0].grad is None
    assert maps[1].grad.abs().sum() > 0
    with pytest.raises(ValueError, match=r"there is no level 2; at \(16, 16\) there are 0 \(finest\) to 1"):
        UpPyramid(2, 1, (16, 16), 3, width=2, skips=(2,))
