import pytest
import torch
from in_memory import blobs, fit

from secondread.detectors.contract import Batch
from secondread.detectors.reconstruction.constrained_ae import ConstrainedAE, ConstrainedAESettings
from secondread.errors import UserError

NETWORK = {"width": 2, "hidden": 8, "latent": 4}


def test_the_loss_is_the_error_and_the_distance_of_the_codes_of_image_and_reconstruction():
    detector = ConstrainedAE(ConstrainedAESettings(network=NETWORK, code_weight=3.0), 1, (16, 16)).eval()
    images = blobs(4, (16, 16))
    loss = detector.loss({"normal": Batch(images)}, torch.Generator())
    with torch.no_grad():
        x = 2 * images - 1
        rebuilt = detector.network(x)
        codes = detector.network.encode(x) - detector.network.encode(rebuilt)
    assert loss["reconstruction"].item() == pytest.approx((x - rebuilt).square().mean().item(), rel=1e-5)
    assert loss["code"].item() == pytest.approx(3 * codes.square().mean().item(), rel=1e-5)


def test_training_lowers_the_loss():
    detector = ConstrainedAE(ConstrainedAESettings(network=NETWORK), 1, (16, 16))
    losses = fit(detector, blobs(16, (16, 16)), steps=30)["reconstruction"]
    assert sum(losses[-4:]) < sum(losses[:4])


def test_a_training_batch_of_one_image_is_refused():
    detector = ConstrainedAE(ConstrainedAESettings(network=NETWORK), 1, (16, 16))
    with pytest.raises(UserError, match="at least two images"):
        detector.loss({"normal": Batch(blobs(1, (16, 16)))}, torch.Generator())
