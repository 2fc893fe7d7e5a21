import pytest
import torch
from in_memory import blobs, score, train_on

from secondread.detectors.adversarial.bigan import BiGAN, BiGANSettings
from secondread.detectors.contract import Batch, Generative
from secondread.detectors.detector_settings import StageSettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (16, 16)
LAYERS = ((4, 2, 2), (3, 2, 4), (3, 1, 8))


def small(**settings):
    return BiGAN(BiGANSettings(layers=LAYERS, latent=4, **settings), 1, SIZE)


@pytest.mark.parametrize("stochastic", [True, False])
def test_parts_are_those_of_the_equations(stochastic):
    detector, images = small(stochastic=stochastic).eval(), blobs(3, SIZE)
    found = score(detector, images)
    x = 2 * images - 1
    with torch.no_grad():
        z = detector.encoder(x)[:, :4]
        rebuilt = detector.generator(z)
        residual = (x - rebuilt).abs().sum(dim=(1, 2, 3))
        features = detector.critic.features
        distance = (features(x, z) - features(rebuilt, z)).abs().sum(dim=1)
    torch.testing.assert_close(found.parts["residual"].values, residual)
    torch.testing.assert_close(found.parts["features"].values, distance)
    torch.testing.assert_close(found.parts["mixed"].values, 0.9 * residual + 0.1 * distance)
    torch.testing.assert_close(found.maps["residual"], (x - rebuilt).abs())


def test_both_players_see_the_same_pairs_under_swapped_names():
    detector, batch = small(stochastic=True).eval(), {"normal": Batch(blobs(3, SIZE))}
    with torch.no_grad():
        detector.critic.last[1].bias.fill_(1.0)
        x = 2 * batch["normal"].images - 1
        generator = torch.Generator().manual_seed(2)
        z, noise = torch.randn(3, 4, generator=generator), torch.randn(3, 4, generator=generator)
        mean, log_deviation = detector.encoder(x).chunk(2, dim=1)
        real = detector.critic(x, mean + log_deviation.exp() * noise).sigmoid()
        fake = detector.critic(detector.generator(z), z).sigmoid()
        critic = detector.critic_loss(batch, torch.Generator().manual_seed(2))
        players = detector.generator_loss(batch, torch.Generator().manual_seed(2))
    assert critic["real"].item() == pytest.approx(-real.log().mean().item(), rel=1e-5)
    assert critic["fake"].item() == pytest.approx(-(1 - fake).log().mean().item(), rel=1e-5)
    assert players["encoder"].item() == pytest.approx(-(1 - real).log().mean().item(), rel=1e-5)
    assert players["generator"].item() == pytest.approx(-fake.log().mean().item(), rel=1e-5)


@pytest.mark.parametrize("scored", ["mixed", "residual"])
def test_the_score_is_the_part_that_is_asked_for(scored):
    assert small(scored=scored).mixture().weights == {scored: 1.0}


def test_a_generator_made_to_give_one_image_is_told_of():
    detector = small()
    with torch.no_grad():
        detector.generator.last.weight.zero_()
    nothing = StageSettings(steps=1, batch_size=4, optimiser={"lr": 1e-12})
    log = train_on(
        detector, {"normal": blobs(8, SIZE), "validation": blobs(6, SIZE, seed=1)}, {"game": nothing}
    )
    told = " ".join(log.warnings)
    assert "generator has collapsed" in told
    assert "hardly depends on the image" in told


def test_samples_and_the_line_between_two_reconstructions():
    detector, images = small().eval(), blobs(2, SIZE)
    assert isinstance(detector, Generative)
    assert detector.sample(2, torch.Generator().manual_seed(0)).shape == (2, 1, *SIZE)
    line = detector.interpolate(*images, 3)
    with torch.no_grad():
        ends = (detector.generator(detector.latents(2 * images - 1)) + 1) / 2
    torch.testing.assert_close(line[[0, -1]], ends)


def test_the_paper_preset_has_alis_values():
    recipe = Recipe.load("ali-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    assert detector.critic.last[1].in_features == 2048
    stage = recipe.stages["game"]
    assert (stage.batch_size, stage.optimiser.lr, stage.optimiser.betas[0]) == (100, 1e-4, 0.5)
