import pytest
import torch
from in_memory import blobs, score, train_on

from secondread.detectors.adversarial.ganomaly import GANomaly, GANomalySettings
from secondread.detectors.contract import Batch
from secondread.detectors.detector_settings import StageSettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (16, 16)


def small(**settings):
    return GANomaly(GANomalySettings(network={"width": 2, "latent": 4}, **settings), 1, SIZE)


def passed(detector, images):
    x = 2 * images - 1
    with torch.no_grad():
        z = detector.encoder(x)
        image = detector.decoder(z)
        return x, z, image, detector.second_encoder(image)


def test_the_score_is_the_mean_squared_distance_of_both_codes():
    detector, images = small().eval(), blobs(3, SIZE)
    x, z, image, again = passed(detector, images)
    found = score(detector, images)
    torch.testing.assert_close(found.parts["latent"].values, (z - again).square().mean(dim=1))
    torch.testing.assert_close(found.parts["residual"].values, (x - image).abs().mean(dim=(1, 2, 3)))
    torch.testing.assert_close(found.maps["residual"], (x - image).abs())
    assert detector.mixture().weights == {"latent": 1.0}


@pytest.mark.parametrize("medianomaly", [False, True])
def test_the_generators_terms_are_weighted_means(medianomaly):
    settings = {"reconstruction": "l2", "adversarial": "cross_entropy"} if medianomaly else {}
    detector, images = small(**settings).eval(), blobs(3, SIZE)
    x, z, image, again = passed(detector, images)
    found = detector.generator_loss({"normal": Batch(images)}, torch.Generator())
    with torch.no_grad():
        features = detector.discriminator.features
        if medianomaly:
            expected = -detector.discriminator(image).sigmoid().log().mean(), (x - image).square().mean()
        else:
            expected = (features(x) - features(image)).square().mean(), (x - image).abs().mean()
    assert found["adversarial"].item() == pytest.approx(expected[0].item(), rel=1e-4)
    assert found["reconstruction"].item() == pytest.approx(50 * expected[1].item(), rel=1e-4)
    assert found["latent"].item() == pytest.approx((z - again).square().mean().item(), rel=1e-4)


@pytest.mark.parametrize(("below", "anew"), [(0.5, False), (0.9, True), (0.0, False)])
def test_a_discriminator_that_is_certain_starts_anew_after_an_epoch(below, anew):
    """Near log 2 on both sides, it knows nothing yet."""
    detector, batches = small(restart_below=below).eval(), [{"normal": Batch(blobs(3, SIZE))}]
    before = detector.discriminator.last.weight.clone()
    state = torch.random.get_rng_state()
    with torch.no_grad():
        detector.restart_where_certain(3, iter(batches))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(detector.discriminator.last.weight, before) != anew
    drawn = detector.discriminator.last.weight.clone()
    with torch.no_grad():
        detector.restart_where_certain(3, iter(batches))
    assert torch.equal(detector.discriminator.last.weight, drawn)


def test_reconstructions_that_do_not_depend_on_the_image_are_told_of():
    detector = small()
    with torch.no_grad():
        detector.decoder.first[0].weight.zero_()
    nothing = StageSettings(steps=1, batch_size=4, optimiser={"lr": 1e-12})
    log = train_on(
        detector, {"normal": blobs(8, SIZE), "validation": blobs(6, SIZE, seed=1)}, {"game": nothing}
    )
    assert any("hardly depends on the image" in line for line in log.warnings)


def test_training_lowers_the_reconstructions_error():
    stage = StageSettings(steps=20, batch_size=8, optimiser={"lr": 1e-2})
    log = train_on(small(), {"normal": blobs(16, SIZE)}, {"game": stage})
    losses = [epoch.losses["generator.reconstruction"] for epoch in log.stages[0].epochs]
    assert losses[-1] < 0.8 * losses[0]


def test_the_paper_preset_has_the_papers_size_and_weights():
    recipe = Recipe.load("ganomaly-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    between = 16 * (64 * 128 + 128 * 256 + 256 * 512) + 2 * (128 + 256 + 512)
    encoder = 16 * 64 + between + 16 * 512 * 100
    decoder = 16 * 100 * 512 + between + 2 * 64 + 16 * 64
    critic = 16 * 64 + between + 16 * 512
    assert sum(p.numel() for p in detector.parameters()) == 2 * encoder + decoder + critic
    settings = detector.settings
    weights = (settings.adversarial_weight, settings.reconstruction_weight, settings.latent_weight)
    assert weights == (1, 50, 1)
    stage = recipe.stages["game"]
    assert (stage.epochs, stage.batch_size, stage.optimiser.lr, stage.optimiser.betas) == (
        15,
        64,
        2e-4,
        (0.5, 0.999),
    )
