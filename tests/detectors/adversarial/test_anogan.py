import pytest
import torch
from in_memory import blobs, score, train_on

from secondread.detectors.adversarial.anogan import AnoGAN, AnoGANSettings
from secondread.detectors.contract import Batch, Generative, ScoringNoise
from secondread.detectors.detector_settings import StageSettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (16, 16)


def small(**settings):
    search = {"steps": 5, "restarts": 2}
    return AnoGAN(
        AnoGANSettings(**{"network": {"width": 2, "latent": 4}, "search": search, **settings}), 1, SIZE
    )


def test_parts_are_sums_over_pixels_and_features_and_the_score_mixes_them():
    detector = small(feature_share=0.25).eval()
    images = blobs(2, SIZE)
    found = score(detector, images)
    residual = found.maps["residual"].sum(dim=(1, 2, 3))
    parts = {name: part.values for name, part in found.parts.items()}
    torch.testing.assert_close(parts["residual"], residual)
    torch.testing.assert_close(parts["loss"], 0.75 * parts["residual"] + 0.25 * parts["discrimination"])
    assert detector.mixture().weights == {"loss": 1.0}


def test_the_search_starts_from_the_images_own_draws():
    detector, image = small(search={"steps": 1, "restarts": 1, "rate": 1e-9}).eval(), blobs(1, SIZE)
    generator = torch.Generator().manual_seed(5)
    noise = ScoringNoise([torch.Generator().manual_seed(5)])
    found = detector.score(Batch(image), noise, maps=True)
    z = 2 * torch.rand(1, 4, generator=generator) - 1
    with torch.no_grad():
        expected = (2 * image - 1 - detector.generator(z)).abs()
    torch.testing.assert_close(found.maps["residual"], expected, atol=1e-5, rtol=0)


def test_a_longer_search_comes_nearer():
    short, long = small(search={"steps": 1}), small(search={"steps": 60})
    long.load_state_dict(short.state_dict())
    images = blobs(3, SIZE)
    one, other = (score(detector.eval(), images).parts["loss"].values for detector in (short, long))
    assert (other < one).all()


def test_the_game_is_one_of_cross_entropies():
    detector, batch = small().eval(), {"normal": Batch(blobs(3, SIZE))}
    x = 2 * batch["normal"].images - 1
    generator = torch.Generator()
    found = detector.critic_loss(batch, generator.manual_seed(1))
    z = 2 * torch.rand(3, 4, generator=generator.manual_seed(1)) - 1
    with torch.no_grad():
        real, fake = (
            detector.discriminator(x).sigmoid(),
            detector.discriminator(detector.generator(z)).sigmoid(),
        )
        assert found["real"].item() == pytest.approx(-real.log().mean().item() / 2, rel=1e-5)
        assert found["fake"].item() == pytest.approx(-(1 - fake).log().mean().item() / 2, rel=1e-5)
        fool = detector.generator_loss(batch, generator.manual_seed(1))["fool"]
        assert fool.item() == pytest.approx(-fake.log().mean().item(), rel=1e-5)


def test_a_generator_made_to_give_one_image_is_told_of():
    detector = small()
    with torch.no_grad():
        detector.generator.first[0].weight.zero_()
    nothing = StageSettings(steps=1, batch_size=4, optimiser={"lr": 1e-12})
    log = train_on(
        detector, {"normal": blobs(8, SIZE), "validation": blobs(6, SIZE, seed=1)}, {"game": nothing}
    )
    assert any("generator has collapsed" in line for line in log.warnings)
    assert log.stages[0].figures["spread of generated images / of held-out normals"] < 0.01


def test_samples_and_the_line_between_two_images():
    detector = small().eval()
    assert isinstance(detector, Generative)
    assert detector.sample(2, torch.Generator().manual_seed(0)).shape == (2, 1, *SIZE)
    images = blobs(2, SIZE)
    line = detector.interpolate(*images, 3)
    assert line.shape == (3, 1, *SIZE)
    torch.testing.assert_close(line, detector.interpolate(*images, 3))


def test_the_paper_preset_has_the_papers_values():
    recipe = Recipe.load("anogan-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    assert detector.generator.first[0].out_channels == 512
    assert (detector.settings.search.steps, detector.settings.feature_share) == (500, 0.1)
    assert recipe.stages["game"].epochs == 20
