"""What a Glow draws: from its priors, by its inverse."""

import pytest
import torch
from made_glow import SIZES, images, make_glow
from plain_glow import plain_glow


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("rank", [2, 3])
def test_the_same_generator_draws_the_same_images(rank):
    glow = make_glow(rank, channels=2, amplitude=0.03)
    first, again, other = (glow.sample(3, seeded(seed)) for seed in (0, 0, 1))
    assert first.shape == (3, 2, *SIZES[rank])
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize("rank", [2, 3])
def test_temperature_zero_draws_the_inverse_of_the_prior_means(rank):
    glow = make_glow(rank)
    drawn = glow.sample(2, seeded(), temperature=0.0)
    plain = plain_glow(glow)
    latents, contexts, _ = plain.transform(drawn)
    for (_, prior), z, context in zip(plain.levels, latents, contexts, strict=True):
        mean, _ = plain.prior(prior, z, context)
        torch.testing.assert_close(z, mean.expand_as(z))
    torch.testing.assert_close(glow.inverse(latents), drawn)


def test_temperature_zero_of_unit_priors_draws_the_inverse_of_zeros():
    glow = make_glow(split_prior="unit", top_prior="unit")
    zeros = [torch.zeros_like(z) for z in glow.transform(images(glow))[0]]
    torch.testing.assert_close(glow.sample(3, seeded(), temperature=0.0), glow.inverse(zeros))


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_latent_variables_of_drawn_images_follow_the_priors(temperature):
    glow = make_glow(levels=2)
    drawn = glow.sample(2000, seeded(), temperature=temperature)
    plain = plain_glow(glow)
    latents, contexts, _ = plain.transform(drawn)
    for (_, prior), z, context in zip(plain.levels, latents, contexts, strict=True):
        mean, log_deviation = plain.prior(prior, z, context)
        standard = ((z - mean) / log_deviation.exp()).detach()
        assert float(standard.mean()) == pytest.approx(0.0, abs=0.02)
        assert float(standard.std()) == pytest.approx(temperature, rel=0.02)


def test_drawing_keeps_no_gradient():
    assert not make_glow().sample(1, seeded()).requires_grad
