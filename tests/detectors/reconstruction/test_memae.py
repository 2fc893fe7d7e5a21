import pytest
import torch
from in_memory import blobs, fit, score

from secondread.detectors.contract import Batch
from secondread.detectors.reconstruction.memae import MemAE, MemAESettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe


def small(**changes):
    network = {"width": 4, "hidden": 16, "latent": 8}
    return MemAE(MemAESettings(network=network, **changes), 1, (32, 32))


def test_the_loss_adds_the_entropy_of_the_addresses():
    detector = small(slots=5, entropy_weight=0.5)
    images = blobs(4, (32, 32))
    loss = detector.loss({"normal": Batch(images)}, torch.Generator())
    with torch.no_grad():
        x = 2 * images - 1
        rebuilt, weights = detector.network(x)
    assert loss["reconstruction"].item() == pytest.approx((x - rebuilt).square().mean().item(), rel=1e-5)
    entropy = -(weights * weights.log()).sum(dim=1).mean()
    assert loss["address_entropy"].item() == pytest.approx(0.5 * entropy.item(), rel=1e-5)


def test_the_decoder_sees_mixtures_of_slots_alone():
    detector = small(slots=1).eval()
    first, second = score(detector, blobs(2, (32, 32))).maps["reconstruction"]
    x = 2 * blobs(2, (32, 32)) - 1
    with torch.no_grad():
        rebuilt, weights = detector.network(x)
    assert (weights == 1).all()
    torch.testing.assert_close(rebuilt[0], rebuilt[1])
    assert not torch.allclose(first, second)


def test_training_lowers_the_loss():
    losses = fit(small(shrink=0.0025), blobs(16, (32, 32)), steps=30)["reconstruction"]
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])


def test_the_paper_preset_has_the_published_memory():
    with torch.device("meta"):
        detector = build_detector(Recipe.load("memae"), pretrained=False)
    assert detector.network.memory.slots.shape == (25, 16)
    assert (detector.settings.shrink, detector.settings.entropy_weight) == (0.0, 0.0002)
