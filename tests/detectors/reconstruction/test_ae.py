import pytest
import torch
from in_memory import blobs, fit, score

from secondread.detectors.contract import Batch
from secondread.detectors.reconstruction.ae import AE, AESettings
from secondread.errors import UserError
from secondread.networks.structural_similarity import structural_similarity


def small(loss="l2", channels=1, size=(32, 32), **more):
    network = {"width": 4, "hidden": 16, "latent": 8}
    return AE(AESettings(loss=loss, network=network, **more), channels, size)


@pytest.mark.parametrize(
    ("loss", "error"),
    [("l2", lambda difference: difference.square()), ("l1", lambda difference: difference.abs())],
)
def test_the_score_is_the_mean_error_in_the_range_from_minus_one_to_one(loss, error):
    detector = small(loss, channels=3).eval()
    images = blobs(3, (32, 32), channels=3)
    found = score(detector, images)
    x = 2 * images - 1
    with torch.no_grad():
        expected = error(x - detector.network(x)).mean(dim=1, keepdim=True)
    torch.testing.assert_close(found.maps["reconstruction"], expected)
    torch.testing.assert_close(found.parts["reconstruction"].values, expected.mean(dim=(1, 2, 3)))


def test_the_loss_is_the_mean_of_the_map():
    detector = small()
    images = blobs(4, (32, 32))
    loss = detector.loss({"normal": Batch(images)}, torch.Generator())
    with torch.no_grad():
        x = 2 * images - 1
        expected = (x - detector.network(x)).square().mean()
    assert loss["reconstruction"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(("sign", "kept"), [("positive", 1), ("negative", -1)])
def test_a_one_sided_residual_counts_in_map_and_score_and_not_in_the_loss(sign, kept):
    detector, images = small(residual=sign, channels=3), blobs(3, (32, 32), channels=3)
    x = 2 * images - 1
    loss = detector.loss({"normal": Batch(images)}, torch.Generator())["reconstruction"]
    with torch.no_grad():
        assert loss.item() == pytest.approx((x - detector.network(x)).square().mean().item(), rel=1e-5)
        found = score(detector.eval(), images)
        residual = kept * (x - detector.network(x))
    expected = residual.clamp_min(0).square().mean(dim=1, keepdim=True)
    torch.testing.assert_close(found.maps["reconstruction"], expected)
    torch.testing.assert_close(found.parts["reconstruction"].values, expected.mean(dim=(1, 2, 3)))


def test_ssim_is_taken_on_zero_to_one():
    detector = small("ssim").eval()
    images = blobs(3, (32, 32))
    found = score(detector, images)
    with torch.no_grad():
        rebuilt = (detector.network(2 * images - 1) + 1) / 2
    expected = 1 - structural_similarity(rebuilt, images)
    torch.testing.assert_close(found.parts["reconstruction"].values, expected)
    assert found.maps["reconstruction"].shape == images.shape


@pytest.mark.parametrize("loss", ["l2", "l1", "ssim"])
def test_training_lowers_the_loss(loss):
    losses = fit(small(loss), blobs(16, (32, 32)), steps=30)["reconstruction"]
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])


@pytest.mark.parametrize("loss", ["l2", "ssim"])
def test_padding_is_in_neither_loss_nor_score(loss):
    detector = small(loss).eval()
    images = blobs(2, (32, 32))
    valid = torch.ones(2, 1, 32, 32, dtype=torch.bool)
    valid[..., :8] = False
    error = score(detector, images, valid)
    changed = detector.terms(
        detector.settings, torch.where(valid, images, 5.0), torch.where(valid, images, -1.0), valid
    )
    assert changed["reconstruction"].item() == pytest.approx(0, abs=1e-6)
    assert not torch.allclose(
        error.parts["reconstruction"].values, score(detector, images).parts["reconstruction"].values
    )


def test_what_lies_outside_zero_to_one_counts_as_its_end():
    detector = small().eval()
    images = blobs(2, (32, 32))
    images[:, :, 3, 3] = 1.0
    brighter = images.clone()
    brighter[:, :, 3, 3] = 7.0
    torch.testing.assert_close(
        score(detector, brighter).maps["reconstruction"], score(detector, images).maps["reconstruction"]
    )


def test_a_training_batch_of_one_image_is_refused():
    with pytest.raises(UserError, match="at least two images"):
        small().loss({"normal": Batch(blobs(1, (32, 32)))}, torch.Generator())


def test_a_size_that_is_no_multiple_of_sixteen_is_refused():
    with pytest.raises(ValueError, match="multiples of 16"):
        small(size=(40, 40))
