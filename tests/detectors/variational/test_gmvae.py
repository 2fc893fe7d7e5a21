import pytest
import torch
from in_memory import blobs, fit, score
from pydantic import ValidationError
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from secondread.detectors.contract import Batch, Generative
from secondread.detectors.variational.gmvae import GMVAE, GMVAESettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (16, 16)
SPATIAL = {"kind": "spatial", "width": 8, "dims_z": 2}
DENSE = {"kind": "dense", "width": 2, "hidden": 8, "dims_z": 3, "dims_w": 2}
SHORT = {"steps": 2, "rate": 0.01}


def small(network=SPATIAL, **changes):
    torch.manual_seed(0)
    given = {"components": 3, "dropout": 0.0, "restoration": SHORT, **changes}
    return GMVAE(GMVAESettings(network=network, **given), 1, SIZE).eval()


@pytest.mark.parametrize("network", [SPATIAL, DENSE])
def test_the_bound_is_made_of_the_terms_of_the_paper(network):
    detector, x = small(network, free_choice=0.2), blobs(2, SIZE)
    with torch.no_grad():
        z_mean, z_log, w_mean, w_log = detector.network.encode(x)
        mean, log_precision = detector.network.prior(w_mean)
        terms, rebuilt = detector.terms(x, None)
        bound, _ = detector.bound(x, None)
    assert mean.shape == (2, 3, detector.network.dims[0], *detector.network.grid)
    at_places = Normal(mean.movedim(2, -1), (-0.5 * log_precision).exp().movedim(2, -1))
    each = Independent(at_places, 1).log_prob(z_mean.movedim(1, -1)[:, None])
    chosen = each.softmax(dim=1)
    q = Normal(z_mean.movedim(1, -1)[:, None], (0.5 * z_log).exp().movedim(1, -1)[:, None])
    z = (chosen * kl_divergence(q, at_places).sum(dim=-1)).flatten(1).sum(dim=1)
    w = kl_divergence(Normal(w_mean, (0.5 * w_log).exp()), Normal(0.0, 1.0)).flatten(1).sum(dim=1)
    uniform = Categorical(torch.ones(3) / 3)
    c = kl_divergence(Categorical(chosen.movedim(1, -1)), uniform).clamp_min(0.2).flatten(1).sum(dim=1)
    error = (x - rebuilt).abs().flatten(1).sum(dim=1)
    for name, expected in {"reconstruction": error, "z": z, "w": w, "c": c}.items():
        torch.testing.assert_close(terms[name], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(bound, error + z + w + c, rtol=1e-4, atol=1e-4)


def test_the_map_is_what_the_restoration_changes_and_its_mean_the_score():
    detector, images = small(restoration={**SHORT, "weight": 0.0}), blobs(2, SIZE)
    assert detector.costly_scoring
    x = images
    for _ in range(2):
        y = x.clone().requires_grad_()
        bound, _ = detector.bound(y, None)
        x = x - 0.01 * torch.autograd.grad(bound.sum(), y)[0]
    found = score(detector, images)
    torch.testing.assert_close(found.maps["restoration"], (images - x).abs(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        found.parts["restoration"].values, found.maps["restoration"].mean(dim=(1, 2, 3))
    )
    one_sided = small(restoration={**SHORT, "weight": 0.0}, residual="positive")
    expected = (images - x).clamp_min(0)
    torch.testing.assert_close(score(one_sided, images).maps["restoration"], expected, rtol=1e-4, atol=1e-5)


def test_without_restoration_scoring_takes_no_gradient_and_the_part_is_gone():
    detector = small(maps=("reconstruction",), score="reconstruction")
    assert not detector.gradients_at_scoring
    assert set(score(detector, blobs(1, SIZE)).parts) == {"reconstruction", "bound"}
    with pytest.raises(ValidationError, match="add restoration to maps"):
        GMVAESettings(maps=("reconstruction",))


def test_the_weight_is_chosen_on_held_out_normals_without_a_label():
    detector = small(restoration={**SHORT, "weight": None, "weights": (0.0, 50.0), "images": 2})
    figures = detector.examine(iter([Batch(blobs(3, SIZE))]), torch.Generator())
    assert figures["weight of the total variation"] == detector.weight.item() == 0.0


def test_images_are_drawn_from_the_mixture(monkeypatch):
    """With a prior that does not depend on w, many draws of z have the mixture's mean and variance."""
    detector = small(DENSE)
    assert isinstance(detector, Generative)
    torch.nn.init.zeros_(detector.network.prior.hidden[0].weight)
    with torch.no_grad():
        mean, log_precision = (part[0, ..., 0, 0] for part in detector.network.prior(torch.zeros(1, 2, 1, 1)))
    mixture = MixtureSameFamily(
        Categorical(torch.ones(3)), Independent(Normal(mean, (-0.5 * log_precision).exp()), 1)
    )
    drawn = []
    monkeypatch.setattr(detector.network, "decode", lambda z: drawn.append(z.flatten(1)) or z)
    detector.sample(4000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn[0].mean(dim=0), mixture.mean, atol=0.1, rtol=0)
    torch.testing.assert_close(drawn[0].var(dim=0), mixture.variance, atol=0.15, rtol=0)


def test_a_seed_draws_the_same_and_the_ends_of_a_line_are_reconstructions():
    detector, images = small(), blobs(2, SIZE)
    drawn = [detector.sample(2, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*drawn)
    with torch.no_grad():
        ends = detector.terms(images, None)[1].clamp(0, 1)
    torch.testing.assert_close(detector.interpolate(*images, 3)[[0, 2]], ends)


def test_training_lowers_the_loss():
    losses = fit(small(DENSE, dropout=0.1), blobs(16, SIZE), steps=20)["reconstruction"]
    assert sum(losses[-4:]) < sum(losses[:4])


def test_the_paper_preset_has_the_size_of_the_published_table():
    """Six convolutions and four heads; the prior's three layers; eight convolutions back."""
    with torch.device("meta"):
        detector = build_detector(Recipe.load("gmvae-paper"), pretrained=False)
    wide = 9 * 64 * 64 + 64
    encoder = (9 * 64 + 64) + 5 * wide + 4 * (64 + 1)
    prior = (64 + 64) + 2 * (64 * 6 + 6)
    decoder = (9 * 64 + 64) + 6 * wide + (9 * 64 + 1)
    assert sum(p.numel() for p in detector.parameters()) == encoder + prior + decoder == 409_233
    assert detector.network.grid == (32, 32)
