import pytest
import torch

from secondread.detectors.adversarial.bigan import FOR_64
from secondread.networks.adversarial.joint import (
    JointCritic,
    JointEncoder,
    JointGenerator,
    refuse_sizes_that_do_not_fit,
)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_alis_sizes_have_the_parameters_of_its_layer_table():
    with torch.device("meta"):
        encoder, generator = JointEncoder(2, 3, FOR_64, 512), JointGenerator(2, 3, FOR_64, 256)
        critic = JointCritic(2, 3, FOR_64, 256)
    inner = 49 * 64 * 128 + 25 * 128 * 256 + 49 * 256 * 256 + 16 * 256 * 512
    norms = 2 * (64 + 128 + 256 + 256 + 512)
    assert count(encoder) == 4 * 3 * 64 + inner + 512 * 512 + norms + 2 * 512 + 512 * 512 + 512
    up = 16 * 256 * 512 + 49 * 512 * 256 + 25 * 256 * 256 + 49 * 256 * 128 + 4 * 128 * 64
    assert count(generator) == up + norms + 64 * 3 + 3
    of_image = 4 * 3 * 64 + 64 + inner + norms - 2 * 64
    of_latent = 257 * 1024 + 1025 * 1024
    of_both = (512 + 1024 + 1) * 2048 + 2049 * 2048 + 2049
    assert count(critic) == of_image + of_latent + of_both
    assert generator(torch.empty(2, 256, device="meta")).shape == (2, 3, 64, 64)
    assert encoder(torch.empty(2, 3, 64, 64, device="meta")).shape == (2, 512)


@pytest.mark.parametrize(("size", "layers"), [((16, 16), ((4, 2, 2), (7, 1, 4))), ((8,) * 3, ((8, 1, 3),))])
def test_images_and_volumes_go_there_and_back(size, layers):
    rank = len(size)
    refuse_sizes_that_do_not_fit(size, layers)
    images = JointGenerator(rank, 2, layers, 5)(torch.randn(3, 5))
    assert images.shape == (3, 2, *size)
    codes = JointEncoder(rank, 2, layers, 5)(images)
    assert JointCritic(rank, 2, layers, 5)(images, codes).shape == (3,)


@pytest.mark.parametrize("size", [(64, 63), (32, 32), (128, 64)])
def test_a_size_that_the_layers_do_not_bring_to_one_position_is_refused(size):
    with pytest.raises(ValueError, match="pixels to one position"):
        refuse_sizes_that_do_not_fit(size, FOR_64)
