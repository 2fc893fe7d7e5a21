import pytest
import torch

from secondread.networks.adversarial.unified import (
    UnifiedCritic,
    UnifiedDecoder,
    UnifiedEncoder,
    code_critic,
)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_published_sizes_have_the_parameters_of_the_published_layers():
    with torch.device("meta"):
        encoder, decoder = UnifiedEncoder(2, 1, (128, 128), 128), UnifiedDecoder(2, 1, (128, 128), 128)
        critic, of_codes = UnifiedCritic(2, 1), code_critic(128, 50)
    down = 25 * (1 * 32 + 32 * 64 + 64 * 128) + 32 + 64 + 128  # 5x5 to 32, 64, 128, with biases
    norms = 2 * (32 + 64 + 128)
    code = 16 * 16 * 16
    assert count(encoder) == down + norms + 128 * 16 + 16 + code * 128 + 128
    up = 25 * (128 * 128 + 128 * 64 + 64 * 32) + 128 + 64 + 32
    assert count(decoder) == 128 * code + code + 16 * 128 + 128 + 2 * 128 + up + norms + 32 + 1
    assert count(critic) == down + norms + 128
    assert count(of_codes) == 128 * 50 + 50 + 50 * 50 + 50 + 50


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@pytest.mark.parametrize("size", [(16, 24), (8, 16, 8)])
def test_images_and_volumes_go_there_and_back(size, norm):
    form = {"width": 2, "widest": 4, "halvings": 2}
    images = UnifiedDecoder(len(size), 2, size, 5, norm=norm, **form)(torch.randn(3, 5))
    assert images.shape == (3, 2, *size)
    assert UnifiedEncoder(len(size), 2, size, 5, norm=norm, **form)(images).shape == (3, 5)
    assert UnifiedCritic(len(size), 2, **form)(images).shape == (3, 1, *(n // 4 for n in size))
