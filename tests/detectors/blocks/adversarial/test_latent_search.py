import torch

from secondread.detectors.blocks.adversarial.latent_search import SearchSettings, misfit, nearest_latents

WANTED = torch.tensor([[1.0, -2.0], [0.5, 3.0]])


def terms(z, rows):
    return (z - WANTED[rows]).abs().sum(dim=1), (z - WANTED[rows]).square().sum(dim=1)


def test_a_search_ends_near_the_nearest_latent_of_each_image():
    settings = SearchSettings(steps=90, rate=0.05)
    z, residual, distance = nearest_latents(terms, torch.zeros(2, 1, 2), 0.5, settings)
    torch.testing.assert_close(z, WANTED, atol=0.1, rtol=0)
    torch.testing.assert_close(residual, (z - WANTED).abs().sum(dim=1))
    torch.testing.assert_close(distance, (z - WANTED).square().sum(dim=1))


def test_the_first_step_is_the_rate_long_against_the_gradients_sign():
    z, _, _ = nearest_latents(terms, torch.zeros(2, 1, 2), 0.0, SearchSettings(steps=1, rate=0.25))
    torch.testing.assert_close(z, 0.25 * WANTED.sign())


def test_of_several_starts_the_best_counts():
    starts = torch.stack((torch.full((2, 2), 50.0), torch.zeros(2, 2)), dim=1)
    settings = SearchSettings(steps=3, restarts=2)
    one, _, _ = nearest_latents(terms, starts[:, 1:], 0.5, settings)
    both, _, _ = nearest_latents(terms, starts, 0.5, settings)
    torch.testing.assert_close(both, one)


def test_the_misfit_is_a_sum_over_valid_pixels_and_one_over_features():
    x, image = torch.zeros(1, 1, 2, 2), torch.tensor([[[[1.0, -2.0], [4.0, 8.0]]]])
    valid = torch.tensor([[[[True, True], [True, False]]]])
    found = misfit(x, image, torch.tensor([[1.0, 1.0]]), lambda x: x.flatten(1)[:, :2], valid)
    assert [value.item() for value in found] == [7.0, 3.0]
