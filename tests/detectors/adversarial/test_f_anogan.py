import pytest
import torch
from in_memory import blobs, score, train_on

from secondread.detectors.adversarial.f_anogan import FAnoGAN, FAnoGANSettings
from secondread.detectors.contract import Batch, Generative
from secondread.detectors.detector_settings import StageSettings
from secondread.errors import UserError
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (16, 16)


def small(**settings):
    network = {"width": 2, "latent": 4, "blocks": 2}
    return FAnoGAN(FAnoGANSettings(network=network, **settings), 1, SIZE)


def test_parts_and_map_are_those_of_the_equations():
    detector = small(kappa=0.5).eval()
    images = blobs(3, SIZE)
    found = score(detector, images)
    x = 2 * images - 1
    with torch.no_grad():
        z = detector.encoder(x).tanh()
        rebuilt = detector.generator(z)
        residual = (x - rebuilt).square().mean(dim=(1, 2, 3))
        features = (detector.critic.features(x) - detector.critic.features(rebuilt)).square().mean(dim=1)
        again = detector.encoder(rebuilt).tanh()
        critic = -detector.critic(x)[:, 0]
    expected = {
        "residual": residual,
        "features": features,
        "izi_f": residual + 0.5 * features,
        "critic": critic,
        "latent": (z - again).square().mean(dim=1),
    }
    assert found.parts.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found.parts[name].values, values)
    torch.testing.assert_close(found.maps["residual"], (x - rebuilt).abs())


@pytest.mark.parametrize(
    ("encoder", "scored"), [("izi_f", "izi_f"), ("izi", "residual"), ("ziz", "residual")]
)
def test_the_score_is_what_the_encoder_learns_by_as_far_as_there_is_an_image(encoder, scored):
    assert small(encoder_training=encoder).mixture().weights == {scored: 1.0}


def test_each_encoder_learns_by_its_own_terms():
    batch, generator = {"normal": Batch(blobs(4, SIZE))}, torch.Generator()
    x = 2 * batch["normal"].images - 1
    torch.manual_seed(0)
    found = {}
    for encoder in ("ziz", "izi", "izi_f"):
        detector = small(encoder_training=encoder, kappa=0.25).eval()
        found[encoder] = detector.encoder_loss(batch, generator.manual_seed(3))
        if encoder == "ziz":
            z = torch.randn(4, 4, generator=generator.manual_seed(3))
            with torch.no_grad():
                expected = (z - detector.encoder(detector.generator(z)).tanh()).square().mean()
            assert found["ziz"]["latent"].item() == pytest.approx(expected.item())
    assert found["izi"].keys() == {"residual"}
    assert found["izi_f"].keys() == {"residual", "features"}
    rebuilt = detector.generator(detector.latents(x))
    assert found["izi_f"]["residual"].item() == pytest.approx((x - rebuilt).square().mean().item())
    distance = (detector.critic.features(x) - detector.critic.features(rebuilt)).square().mean()
    assert found["izi_f"]["features"].item() == pytest.approx(0.25 * distance.item(), rel=1e-5)


def test_the_critic_steps_more_often_and_the_generator_is_frozen_while_the_encoder_learns():
    game, encoder = small(critic_steps=5).stages()
    assert [(step.name, step.repeats) for step in game.steps] == [("critic", 5), ("generator", 1)]
    (step,) = encoder.steps
    assert [type(module).__name__ for module in step.trains] == ["ResidualTower"]
    assert encoder.drifts == ()


def test_padding_is_not_in_the_residual():
    detector = small().eval()
    images, valid = blobs(2, SIZE), torch.ones(2, 1, *SIZE, dtype=torch.bool)
    valid[..., :4] = False
    found = score(detector, images, valid)
    expected = found.maps["residual"].square()[..., 4:].mean(dim=(1, 2, 3))
    torch.testing.assert_close(found.parts["residual"].values, expected)


def test_a_generator_that_gives_one_image_and_a_critic_that_is_flat_are_told_of_in_log_and_warnings():
    detector = small()
    with torch.no_grad():
        detector.generator.start.weight.zero_()
        detector.critic.last.weight.zero_()
    nothing = StageSettings(steps=1, batch_size=4, optimiser={"lr": 1e-12})
    cohorts = {"normal": blobs(8, SIZE), "validation": blobs(6, SIZE, seed=1)}
    log = train_on(detector, cohorts, {"game": nothing, "encoder": nothing})
    figures = log.stages[0].figures
    assert figures["spread of generated images / of held-out normals"] < 0.01
    assert figures["norm of the critic's gradient"] < 0.01
    told = " ".join(log.warnings)
    for words in ("generator has collapsed", "critic has collapsed", "hardly depends on the image"):
        assert words in told
    again = small().load_fitted(detector.state_dict())
    assert again.warnings() == detector.warnings()


def test_samples_are_drawn_by_the_generator_alone_and_the_line_ends_at_the_reconstructions():
    detector = small().eval()
    assert isinstance(detector, Generative)
    first = detector.sample(3, torch.Generator().manual_seed(1))
    torch.testing.assert_close(first, detector.sample(3, torch.Generator().manual_seed(1)))
    assert first.shape == (3, 1, *SIZE)
    flat = detector.sample(3, torch.Generator().manual_seed(1), temperature=0.0)
    torch.testing.assert_close(flat[0], flat[1])
    images = blobs(2, SIZE)
    line = detector.interpolate(*images, 3)
    with torch.no_grad():
        ends = (detector.generator(detector.latents(2 * images - 1)) + 1) / 2
    torch.testing.assert_close(line[[0, -1]], ends)


def test_training_brings_the_reconstruction_nearer():
    stages = {
        "game": StageSettings(steps=1, batch_size=4),
        "encoder": StageSettings(steps=20, batch_size=4, optimiser={"lr": 1e-2}),
    }
    log = train_on(small(encoder_training="izi", critic_steps=1), {"normal": blobs(8, SIZE)}, stages)
    losses = [epoch.losses["residual"] for epoch in log.stages[1].epochs]
    assert losses[-1] < 0.9 * losses[0]


def test_a_batch_of_one_image_is_refused():
    detector = small()
    for loss in (detector.critic_loss, detector.generator_loss, detector.encoder_loss):
        with pytest.raises(UserError, match="at least two images"):
            loss({"normal": Batch(blobs(1, SIZE))}, torch.Generator())


def test_the_paper_preset_has_the_papers_values():
    recipe = Recipe.load("f-anogan-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    assert detector.generator.start.in_features == 128
    game, encoder = recipe.stages["game"], recipe.stages["encoder"]
    assert (game.batch_size, game.optimiser.lr, game.optimiser.betas) == (64, 1e-4, (0.0, 0.9))
    assert (encoder.optimiser.name, encoder.optimiser.lr, encoder.steps) == ("rmsprop", 5e-5, 50_000)
    assert (detector.settings.penalty, detector.settings.critic_steps, detector.settings.kappa) == (10, 5, 1)
