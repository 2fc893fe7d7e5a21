import pytest
import torch
from in_memory import blobs, score, train_on

from secondread.detectors.adversarial.anovaegan import AnoVAEGAN, AnoVAEGANSettings, divergence
from secondread.detectors.contract import Batch, Generative
from secondread.detectors.detector_settings import StageSettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (16, 16)
NETWORK = {"width": 2, "widest": 8, "halvings": 2, "latent": 4, "dropout": 0.0}


def small(**settings):
    return AnoVAEGAN(AnoVAEGANSettings(network=NETWORK, **settings), 1, SIZE)


def test_the_divergence_is_that_of_two_normal_distributions():
    mean, log_deviation = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 0.5]])
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, log_deviation.exp()), normal(0.0, 1.0))
    torch.testing.assert_close(divergence(mean, log_deviation), expected.sum(dim=1))


def test_the_score_takes_the_mean_code():
    detector, images = small().eval(), blobs(3, SIZE)
    x = 2 * images - 1
    with torch.no_grad():
        mean, log_deviation = detector.encoder(x).chunk(2, dim=1)
        residual = (x - detector.decoder(mean)).abs()
    found = score(detector, images)
    torch.testing.assert_close(found.parts["residual"].values, residual.mean(dim=(1, 2, 3)))
    torch.testing.assert_close(found.parts["kl"].values, divergence(mean, log_deviation))
    torch.testing.assert_close(found.maps["residual"], residual)


def test_in_training_the_code_is_drawn_and_the_error_is_a_sum_over_pixels():
    detector, batch = small(kl_weight=0.5, encoder_norm="layer").train(), {"normal": Batch(blobs(3, SIZE))}
    x = 2 * batch["normal"].images - 1
    noise = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        mean, log_deviation = detector.encoder(x).chunk(2, dim=1)
        rebuilt = detector.decoder(mean + log_deviation.exp() * noise)
        found = detector.autoencoder_loss(batch, torch.Generator().manual_seed(1))
        fool = detector.generator_loss(batch, torch.Generator().manual_seed(1))["fool"]
    error = (x - rebuilt).abs().sum(dim=(1, 2, 3)).mean()
    assert found["reconstruction"].item() == pytest.approx(error.item(), rel=1e-5)
    assert found["kl"].item() == pytest.approx(0.5 * divergence(mean, log_deviation).mean().item(), rel=1e-4)
    with torch.no_grad():
        assert fool.item() == pytest.approx(-detector.critic(rebuilt).mean().item(), abs=1e-5)


def test_what_the_critic_calls_fake_are_reconstructions():
    detector, batch = small().eval(), {"normal": Batch(blobs(3, SIZE))}
    x = 2 * batch["normal"].images - 1
    with torch.no_grad():
        rebuilt = detector.decoder(detector.latents(x))
        expected = detector.critic(rebuilt).mean() - detector.critic(x).mean()
    found = detector.critic_loss(batch, torch.Generator())
    assert found["distance"].item() == pytest.approx(expected.item(), abs=1e-6)


def test_a_decoder_made_to_give_one_image_is_told_of():
    detector = small(critic_steps=1)
    with torch.no_grad():
        detector.decoder.first[0].weight.zero_()
    nothing = StageSettings(steps=1, batch_size=4, optimiser={"lr": 1e-12})
    log = train_on(
        detector, {"normal": blobs(8, SIZE), "validation": blobs(6, SIZE, seed=1)}, {"game": nothing}
    )
    assert any("hardly depends on the image" in line for line in log.warnings)


def test_samples_can_be_drawn():
    detector = small().eval()
    assert isinstance(detector, Generative)
    assert detector.sample(2, torch.Generator().manual_seed(0)).shape == (2, 1, *SIZE)


def test_the_paper_preset_has_the_studys_values():
    recipe = Recipe.load("anovaegan-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    assert detector.encoder.last.out_features == 256
    assert (detector.settings.critic_steps, detector.settings.penalty, detector.settings.kl_weight) == (
        5,
        10,
        1,
    )
    assert recipe.stages["game"].optimiser.betas == (0.5, 0.9)
