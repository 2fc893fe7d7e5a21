"""Levels and bits: a uniform density costs the bit depth."""

import math

import pytest
import torch

from secondread.flows.glow.dequantisation import Dequantisation


@pytest.mark.parametrize("bits", range(1, 17))
def test_a_uniform_model_costs_the_bit_depth(bits):
    made = Dequantisation(bits)
    uniform = torch.distributions.Uniform(-0.5, 0.5)
    x = torch.linspace(0, 1, 2**bits)
    y = made.noisy(x, torch.full_like(x, 0.5))
    log_density = uniform.log_prob(y.double()).view(-1, 2).sum(dim=1)  # images of two pixels
    found = made.bits_per_dimension(log_density, 2)
    torch.testing.assert_close(found, torch.full_like(found, bits))
    assert float(made.log_probability(torch.zeros(()), 3)) == pytest.approx(-3 * bits * math.log(2))


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("noise", [0.0, 0.5, 0.99])
def test_levels_come_back_from_any_noise(bits, noise):
    made = Dequantisation(bits)
    x = torch.linspace(0, 1, 2**bits)
    y = made.noisy(x, torch.full_like(x, noise))
    assert float(y.min()) >= -0.5
    assert float(y.max()) <= 0.5
    assert torch.equal(made.levels(x), torch.arange(2.0**bits))
    torch.testing.assert_close(made.images(y), x, rtol=0, atol=1e-7)


def test_every_level_is_equally_wide():
    made = Dequantisation(2)
    y = torch.tensor([-0.5, -0.2501, -0.25, -0.0001, 0.0, 0.2499, 0.25, 0.4999])
    torch.testing.assert_close(made.images(y), torch.tensor([0.0, 0.0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1.0, 1.0]))


def test_pixels_outside_the_range_are_clipped():
    made = Dequantisation(8)
    assert torch.equal(made.levels(torch.tensor([-0.3, 1.7])), torch.tensor([0.0, 255.0]))
    assert torch.equal(made.images(torch.tensor([-3.0, 3.0])), torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("bits", [0, 17])
def test_a_depth_that_no_image_has_is_refused(bits):
    with pytest.raises(ValueError, match="from 1 to 16"):
        Dequantisation(bits)
