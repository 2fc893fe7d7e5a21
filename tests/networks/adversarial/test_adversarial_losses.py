import math

import pytest
import torch

from secondread.networks.adversarial.losses import (
    between,
    slopes,
    told_fake,
    told_real,
    wasserstein_critic,
    wasserstein_generator,
)


def linear(weights):
    return lambda x: (x * weights).flatten(1).sum(dim=1)


def test_the_slope_is_the_norm_over_all_channels_and_pixels_of_an_image():
    weights = torch.randn(2, 4, 4)
    found = slopes(linear(weights), torch.randn(3, 2, 4, 4))
    torch.testing.assert_close(found, weights.norm().expand(3))


def test_each_image_has_a_slope_of_its_own():
    x = torch.tensor([[[[1.0, 2.0]]], [[[3.0, 4.0]]]])
    found = slopes(lambda x: x.square().flatten(1).sum(dim=1) / 2, x)
    torch.testing.assert_close(found, torch.tensor([5**0.5, 5.0]))


def test_the_critic_minimises_the_distance_and_ten_times_the_squared_excess_of_the_slope():
    weights = torch.full((1, 2, 2), 1.5)  # norm 3
    real, fake = torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    terms = wasserstein_critic(linear(weights), real, fake, torch.Generator())
    assert terms["distance"].item() == pytest.approx(-6)
    assert terms["penalty"].item() == pytest.approx(10 * (3 - 1) ** 2)
    assert wasserstein_generator(linear(weights), real)["fool"].item() == pytest.approx(-6)


def test_the_penalty_has_a_gradient_for_the_critic():
    weights = torch.full((1, 2, 2), 1.5, requires_grad=True)
    real = torch.zeros(2, 1, 2, 2)
    wasserstein_critic(linear(weights), real, real, torch.Generator())["penalty"].backward()
    # d/dw 10 (|w| - 1)^2 = 20 (|w| - 1) w / |w|
    torch.testing.assert_close(weights.grad, torch.full((1, 2, 2), 20 * 2 * 1.5 / 3))


def test_points_between_lie_on_the_line_of_each_pair():
    real, fake = torch.zeros(64, 1, 2, 2), torch.ones(64, 1, 2, 2)
    share = between(real, fake, torch.Generator().manual_seed(0))
    assert (share == share[:, :, :1, :1]).all()
    assert 0 <= share.min() < 0.1
    assert 0.9 < share.max() <= 1


def test_cross_entropies_are_those_of_the_sigmoid():
    logits = torch.tensor([0.0, 2.0])
    sure = 1 / (1 + math.exp(-2))
    assert told_real(logits).item() == pytest.approx(-(math.log(0.5) + math.log(sure)) / 2)
    assert told_fake(logits).item() == pytest.approx(-(math.log(0.5) + math.log(1 - sure)) / 2)
