import math

import pytest
import torch
from in_memory import blobs, fit, score
from pydantic import ValidationError
from torch.distributions import Normal, kl_divergence

from secondread.detectors.contract import Batch, Generative
from secondread.detectors.variational.vae import VAE, VAESettings
from secondread.errors import UserError
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (16, 16)
LINEAR = {"kind": "linear", "width": 2, "hidden": 8, "latent": 4}
CONVOLUTIONAL = {"kind": "convolutional", "widths": (4, 4), "latent": 5}


def small(network=LINEAR, **changes):
    torch.manual_seed(0)
    return VAE(VAESettings(network=network, **changes), 1, SIZE).eval()


def test_the_loss_is_the_error_of_a_draw_and_the_weighted_kl():
    detector, images = small(kl_weight=0.5), blobs(4, SIZE)
    loss = detector.loss({"normal": Batch(images)}, torch.Generator().manual_seed(1))
    with torch.no_grad():
        x = 2 * images - 1
        q = Normal(
            *(f(y) for f, y in zip((torch.as_tensor, _deviation), detector.network.encode(x), strict=True))
        )
        noise = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
        rebuilt = detector.network.decode(q.loc + noise * q.scale)
    assert loss["reconstruction"].item() == pytest.approx((x - rebuilt).square().mean().item(), rel=1e-5)
    kl = kl_divergence(q, Normal(0.0, 1.0)).mean()
    assert loss["kl"].item() == pytest.approx(0.5 * kl.item(), rel=1e-4)


def _deviation(log_variance):
    return (0.5 * log_variance).exp()


def test_with_a_gaussian_and_sums_the_parts_are_the_terms_of_the_bound_at_the_mean():
    detector = small(
        CONVOLUTIONAL, error="gaussian", log_deviation=-0.7, reduction="sum", kl_weight=1.0, score="elbo"
    )
    images = blobs(3, SIZE)
    parts = score(detector, images).parts
    with torch.no_grad():
        x = 2 * images - 1
        mean, log_variance = detector.network.encode(x)
        rebuilt = detector.network.decode(mean)
    rec = -Normal(rebuilt, math.exp(-0.7)).log_prob(x).sum(dim=(1, 2, 3))
    kl = kl_divergence(Normal(mean, _deviation(log_variance)), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(parts["reconstruction"].values, rec)
    torch.testing.assert_close(parts["kl"].values, kl)
    torch.testing.assert_close(parts["elbo"].values, rec + kl)
    assert dict(detector.mixture().weights) == {"elbo": 1.0}


@pytest.mark.parametrize("error", ["l2", "l1"])
def test_the_reconstruction_map_is_the_error_at_the_mean_and_its_mean_the_part(error):
    detector, images = small(error=error), blobs(3, SIZE)
    found = score(detector, images)
    with torch.no_grad():
        x = 2 * images - 1
        residual = x - detector.network(x)
    expected = residual.square() if error == "l2" else residual.abs()
    torch.testing.assert_close(found.maps["reconstruction"], expected)
    torch.testing.assert_close(found.parts["reconstruction"].values, expected.mean(dim=(1, 2, 3)))
    assert not detector.gradients_at_scoring


def test_gradient_maps_are_the_sizes_of_slopes_by_the_image():
    names = ("elbo_gradient", "kl_gradient", "reconstruction_gradient")
    detector, images = small(maps=names, smoothing=0.0), blobs(2, SIZE)
    assert detector.gradients_at_scoring
    assert not detector.costly_scoring
    x = (2 * images - 1).requires_grad_()
    mean, log_variance = detector.network.encode(x)
    rec = (x - detector.network.decode(mean)).square().mean(dim=(1, 2, 3))
    kl = kl_divergence(Normal(mean, _deviation(log_variance)), Normal(0.0, 1.0)).mean(dim=1)
    found = score(detector, images).maps
    for name, energy in zip(names, (rec + 0.005 * kl, kl, rec), strict=True):
        (slope,) = torch.autograd.grad(energy.sum(), x, retain_graph=True)
        torch.testing.assert_close(found[name], slope.abs(), rtol=1e-3, atol=1e-7)
    assert next(iter(detector.map_mixture().weights)) == "elbo_gradient"


def test_the_combined_map_is_normalised_by_held_out_normals_and_not_by_the_image():
    detector = small(maps=("combined", "kl_gradient", "reconstruction"), smoothing=1.0)
    normals, images = blobs(6, SIZE), blobs(2, SIZE, seed=1, lesion=True)
    detector.examine(iter([Batch(normals[:4]), Batch(normals[4:])]), torch.Generator())
    slopes = score(detector, normals).maps["kl_gradient"]
    torch.testing.assert_close(detector.slopes, torch.stack((slopes.min(), slopes.max())))
    found = score(detector, images).maps
    unit = (found["kl_gradient"] - slopes.min()) / (slopes.max() - slopes.min())
    torch.testing.assert_close(found["combined"], unit * found["reconstruction"])
    torch.testing.assert_close(score(detector, images[:1]).maps["combined"], found["combined"][:1])


def test_padding_of_held_out_normals_has_no_say_in_the_range_of_slopes():
    detector, normals = small(maps=("combined", "kl_gradient"), smoothing=0.0), blobs(4, SIZE)
    valid = torch.zeros(4, 1, *SIZE, dtype=torch.bool)
    valid[..., 4:12] = True
    detector.examine(iter([Batch(normals, valid)]), torch.Generator())
    slopes = score(detector, normals).maps["kl_gradient"]
    torch.testing.assert_close(detector.slopes, torch.stack((slopes[valid].min(), slopes[valid].max())))
    assert slopes.max() > slopes[valid].max() or slopes.min() < slopes[valid].min()


def test_only_the_maps_that_are_asked_for_are_computed(monkeypatch):
    detector = small(maps=("reconstruction", "kl_gradient"))
    asked = []
    monkeypatch.setattr(detector, "slope", lambda name, x, valid: asked.append(name) or x)
    assert set(score(detector, blobs(1, SIZE)).maps) == {"reconstruction", "kl_gradient"}
    assert asked == ["kl_gradient"]


def test_a_positive_residual_leaves_no_error_where_the_image_is_darker():
    detector, images = small(residual="positive"), blobs(2, SIZE)
    with torch.no_grad():
        x = 2 * images - 1
        expected = (x - detector.network(x)).clamp_min(0).square()
    found = score(detector, images)
    torch.testing.assert_close(found.maps["reconstruction"], expected)
    torch.testing.assert_close(found.parts["reconstruction"].values, expected.mean(dim=(1, 2, 3)))


def test_a_restoration_is_a_part_and_a_map_and_its_weight_is_chosen_on_held_out_normals():
    detector = small(
        maps=("restoration",),
        score="restoration",
        restoration={"steps": 3, "rate": 0.1, "weight": None, "weights": (0.0, 5.0), "images": 2},
    )
    assert detector.costly_scoring
    figures = detector.examine(iter([Batch(blobs(4, SIZE))]), torch.Generator())
    assert figures["weight of the total variation"] == detector.weight.item() == 0.0
    found = score(detector, blobs(2, SIZE, seed=1))
    assert (found.parts["restoration"].values > 0).all()
    torch.testing.assert_close(
        found.maps["restoration"].mean(dim=(1, 2, 3)), found.parts["restoration"].values
    )


def test_a_restoration_lowers_sums_over_pixels_where_the_loss_has_means():
    """256 (mean (x - x')² + w mean KL) of 5 latent numbers is sum (x - x')² + 256/5 w sum KL."""
    restoration = {"steps": 3, "rate": 0.01}
    given = {"maps": ("restoration",), "restoration": restoration}
    means, sums = (
        small(CONVOLUTIONAL, kl_weight=weight, reduction=reduction, **given)
        for weight, reduction in ((0.5, "mean"), (0.5 * 256 / 5, "sum"))
    )
    images = blobs(2, SIZE)
    one, other = (score(detector, images).maps["restoration"] for detector in (means, sums))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_padding_is_in_neither_loss_nor_score():
    detector, images = small(), blobs(2, SIZE)
    valid = torch.ones(2, 1, *SIZE, dtype=torch.bool)
    valid[..., :8] = False
    found = score(detector, images, valid)
    expected = found.maps["reconstruction"][..., 8:].mean(dim=(1, 2, 3))
    torch.testing.assert_close(found.parts["reconstruction"].values, expected)


def test_training_lowers_the_loss_and_a_lesion_raises_the_score():
    detector = small()
    losses = fit(detector, blobs(24, SIZE), steps=30, lr=1e-2)["reconstruction"]
    assert sum(losses[-4:]) < sum(losses[:4])
    normal, lesion = (
        score(detector.eval(), blobs(8, SIZE, seed=2, lesion=lesion)).parts["reconstruction"].values.mean()
        for lesion in (False, True)
    )
    assert lesion > normal


def test_it_draws_images_from_the_prior_and_between_two_images():
    detector, images = small(), blobs(2, SIZE)
    assert isinstance(detector, Generative)
    drawn = [detector.sample(3, torch.Generator().manual_seed(4)) for _ in range(2)]
    assert drawn[0].shape == (3, 1, *SIZE)
    assert torch.equal(*drawn)
    with torch.no_grad():
        ends = ((detector.network(2 * images - 1) + 1) / 2).clamp(0, 1)
        middle = ((detector.network.decode(torch.zeros(1, 4)) + 1) / 2).clamp(0, 1)
    torch.testing.assert_close(detector.interpolate(*images, 3)[[0, 2]], ends)
    torch.testing.assert_close(detector.sample(1, torch.Generator(), temperature=0.0), middle)


def test_one_image_is_refused_by_batch_normalisation_alone():
    batch = {"normal": Batch(blobs(1, SIZE))}
    detector = small()
    detector.train()
    with pytest.raises(UserError, match="at least two images"):
        detector.loss(batch, torch.Generator())
    small(CONVOLUTIONAL).train().loss(batch, torch.Generator())


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValidationError, match="names one twice"):
        VAESettings(maps=("combined", "combined"))
    with pytest.raises(ValidationError, match="add restoration to maps"):
        VAESettings(score="restoration")


def test_the_paper_presets_have_the_published_sizes():
    """MedIAnomaly's autoencoder with 16 more numbers behind its second layer; Zimmerer's table of kernels."""
    with torch.device("meta"):
        shared, own = (
            build_detector(Recipe.load(name), pretrained=False) for name in ("vae", "vae-zimmerer")
        )
    ends = 2 * 16 * (16 + 16 * 32 + 32 * 64 + 64 * 64) + 2 * (176 + 112)
    linear = 1025 * 1024 + 1025 * 32 + 17 * 1024 + 1025 * 1024 + 2 * 2 * 1024
    assert sum(p.numel() for p in shared.parameters()) == ends + linear
    strided = 16 * (1 * 16 + 16 * 64 + 64 * 256 + 256 * 1024)
    whole = 16 * (1024 * 512 + 256 * 1024)
    assert sum(p.numel() for p in own.parameters()) == 2 * strided + whole
