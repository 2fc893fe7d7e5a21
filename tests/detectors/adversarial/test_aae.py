import pytest
import torch
from in_memory import blobs, score, train_on

from secondread.detectors.adversarial.aae import AAE, AAESettings
from secondread.detectors.contract import Batch, Generative
from secondread.detectors.detector_settings import StageSettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (16, 16)
NETWORK = {"width": 2, "widest": 8, "halvings": 2, "latent": 4, "dropout": 0.0}


def small(**settings):
    return AAE(AAESettings(network=NETWORK, hidden=4, **settings), 1, SIZE)


def test_parts_and_losses_are_those_of_the_equations():
    detector, images = small(code_weight=0.5).eval(), blobs(3, SIZE)
    x = 2 * images - 1
    with torch.no_grad():
        z = detector.encoder(x)
        rebuilt = detector.decoder(z)
        again = detector.encoder(rebuilt)
        found = score(detector, images)
        terms = detector.autoencoder_loss({"normal": Batch(images)}, torch.Generator())
        fool = detector.encoder_loss({"normal": Batch(images)}, torch.Generator())["fool"]
        assert fool.item() == pytest.approx(-detector.critic(z).mean().item(), abs=1e-6)
    torch.testing.assert_close(found.parts["residual"].values, (x - rebuilt).abs().mean(dim=(1, 2, 3)))
    torch.testing.assert_close(found.parts["squared"].values, (x - rebuilt).square().mean(dim=(1, 2, 3)))
    assert terms["reconstruction"].item() == pytest.approx((x - rebuilt).square().mean().item(), rel=1e-5)
    assert terms["code"].item() == pytest.approx(0.5 * (z - again).square().mean().item(), rel=1e-4)


def test_the_critic_tells_codes_from_draws_of_the_prior():
    detector, batch = small().eval(), {"normal": Batch(blobs(3, SIZE))}
    z = torch.randn(3, 4, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        codes = detector.encoder(2 * batch["normal"].images - 1)
        expected = detector.critic(codes).mean() - detector.critic(z).mean()
    found = detector.critic_loss(batch, torch.Generator().manual_seed(4))
    assert found["distance"].item() == pytest.approx(expected.item(), abs=1e-6)


def test_the_critic_steps_more_often():
    (game,) = small(critic_steps=20).stages()
    assert [(step.name, step.repeats) for step in game.steps] == [
        ("autoencoder", 1), ("critic", 20), ("encoder", 1)
    ]  # fmt: skip


def test_codes_that_have_collapsed_are_told_of():
    detector = small(critic_steps=1)
    with torch.no_grad():
        detector.encoder.last.weight.zero_()
    nothing = StageSettings(steps=1, batch_size=4, optimiser={"lr": 1e-12})
    log = train_on(
        detector, {"normal": blobs(8, SIZE), "validation": blobs(6, SIZE, seed=1)}, {"game": nothing}
    )
    told = " ".join(log.warnings)
    assert "codes differ from one another by 0.00 of what draws from the prior do" in told
    assert "hardly depends on the image" in told


def test_training_brings_the_reconstruction_nearer():
    stage = StageSettings(steps=20, batch_size=4, optimiser={"lr": 5e-3})
    log = train_on(small(critic_steps=1), {"normal": blobs(8, SIZE)}, {"game": stage})
    losses = [epoch.losses["autoencoder.reconstruction"] for epoch in log.stages[0].epochs]
    assert losses[-1] < 0.8 * losses[0]


def test_samples_can_be_drawn():
    detector = small().eval()
    assert isinstance(detector, Generative)
    assert detector.sample(2, torch.Generator().manual_seed(0)).shape == (2, 1, *SIZE)


def test_the_paper_preset_has_the_studys_values():
    recipe = Recipe.load("aae-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    assert detector.encoder.last.in_features == 16**3
    assert (detector.settings.critic_steps, detector.settings.penalty) == (20, 10)
    stage = recipe.stages["game"]
    assert (stage.batch_size, stage.optimiser.lr, stage.optimiser.betas) == (128, 1e-4, (0.5, 0.9))
