import pytest
import torch

from secondread.networks.adversarial.residual import ResidualCritic, ResidualGenerator, ResidualTower


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def up(before, after):
    """A block of the published generator: two batch normalisations, two 3x3 and one 1x1 convolution."""
    norms = 2 * before + 2 * after
    return norms + 9 * before * after + 9 * after * after + after + before * after + after


def down(before, after):
    norms = 2 * before + 2 * before
    return norms + 9 * before * before + 9 * before * after + after + before * after + after


def test_the_published_sizes_have_the_parameters_of_the_published_layers():
    with torch.device("meta"):
        generator = ResidualGenerator(2, 1, (64, 64))
        critic = ResidualCritic(2, 1, (64, 64))
        encoder = ResidualTower(2, 1, (64, 64), 128)
    ends = 129 * 4 * 4 * 512 + 2 * 64 + 9 * 64 + 1
    assert count(generator) == ends + up(512, 512) + up(512, 256) + up(256, 128) + up(128, 64)
    body = 9 * 64 + 64 + down(64, 128) + down(128, 256) + down(256, 512) + down(512, 512)
    assert count(encoder) == body + 8192 * 128 + 128
    without_gradient = 2 * 512 + 1  # biases that cancel in a difference of means
    assert count(critic) == body + 8192 + 1 - without_gradient
    assert critic.features(torch.empty(2, 1, 64, 64, device="meta")).shape == (2, 8192)


@pytest.mark.parametrize("size", [(16, 32), (8, 16, 8)])
def test_images_and_volumes_go_there_and_back(size):
    form = {"width": 2, "blocks": 2}
    z = torch.randn(3, 5)
    images = ResidualGenerator(len(size), 2, size, latent=5, **form)(z)
    assert images.shape == (3, 2, *size)
    assert images.abs().max() <= 1
    assert ResidualTower(len(size), 2, size, 5, **form)(images).shape == (3, 5)
    assert ResidualCritic(len(size), 2, size, **form)(images).shape == (3, 1)


def test_a_critics_value_of_an_image_does_not_depend_on_the_others():
    critic = ResidualCritic(2, 1, (16, 16), width=2, blocks=2).train()
    images = torch.randn(4, 1, 16, 16)
    torch.testing.assert_close(critic(images)[:1], critic(images[:1]))


def test_a_size_that_cannot_be_halved_so_often_is_refused():
    with pytest.raises(ValueError, match="multiples of 16 along 2 axes"):
        ResidualGenerator(2, 1, (40, 64))
