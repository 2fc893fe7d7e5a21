import pytest
import torch
from in_memory import blobs, fit, score

from secondread.detectors.contract import Batch
from secondread.detectors.reconstruction.aeu import AEU, AEUSettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe


def small(**changes):
    network = {"width": 4, "hidden": 16, "latent": 8}
    return AEU(AEUSettings(network=network, **changes), 1, (32, 32))


def test_loss_and_map_are_the_papers():
    detector = small()
    images = blobs(4, (32, 32))
    x = 2 * images - 1
    loss = detector.loss({"normal": Batch(images)}, torch.Generator())
    with torch.no_grad():
        m, v = detector.network(x).chunk(2, dim=1)
    weighted = (-v).exp() * (x - m) ** 2
    assert loss["reconstruction"].item() == pytest.approx(weighted.mean().item(), rel=1e-5)
    assert loss["log_variance"].item() == pytest.approx(v.mean().item(), rel=1e-4, abs=1e-6)
    detector.eval()
    with torch.no_grad():
        m, v = detector.network(x).chunk(2, dim=1)
    weighted = (-v).exp() * (x - m) ** 2
    torch.testing.assert_close(score(detector, images).maps["reconstruction"], weighted)


def test_the_clamp_bounds_what_a_flat_place_can_weigh():
    x = torch.full((1, 1, 32, 32), 0.5)
    output = torch.cat((torch.zeros(1, 1, 32, 32), torch.full((1, 1, 32, 32), -30.0)), dim=1)
    free = AEU.error(AEUSettings(), output, x)
    bounded = AEU.error(AEUSettings(clamp=(-10.0, 10.0)), output, x)
    torch.testing.assert_close(free, torch.full_like(free, 0.25) * torch.tensor(30.0).exp())
    torch.testing.assert_close(bounded, torch.full_like(free, 0.25) * torch.tensor(10.0).exp())


def test_training_lowers_the_loss():
    losses = fit(small(), blobs(16, (32, 32)), steps=30)["reconstruction"]
    assert sum(losses[-4:]) < sum(losses[:4])


def test_the_paper_preset_is_not_clamped_and_trains_as_published():
    recipe = Recipe.load("aeu")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    assert detector.settings.clamp is None
    assert detector.network(torch.empty(2, 1, 64, 64, device="meta")).shape == (2, 2, 64, 64)
    stage = recipe.stages["reconstruction"]
    assert (stage.epochs, stage.batch_size, stage.optimiser.lr) == (250, 64, 5e-4)
    assert (stage.optimiser.betas, stage.optimiser.weight_decay) == ((0.5, 0.999), 0.0)
