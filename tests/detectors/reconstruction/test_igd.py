from itertools import pairwise

import pytest
import torch
from in_memory import blobs, fit, score

from secondread.detectors.contract import Batch
from secondread.detectors.reconstruction.igd import IGD, IGDSettings
from secondread.networks.structural_similarity import multiscale_similarity
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (16, 16)


def make(**changes):
    form = IGD.tiny(2)
    settings = IGDSettings.model_validate({**form.settings.model_dump(), **changes})
    return IGD(settings, form.channels, form.size).eval()


def batches(*images):
    return iter([{"normal": Batch(x)} for x in images])


def test_the_centre_is_the_mean_latent_away_from_0_and_the_scale_the_mean_squared_distance():
    detector, images = make(), blobs(7, SIZE)
    with torch.no_grad():
        detector.encoder.last.bias.copy_(torch.tensor([3.0, 0.05, -0.02, -2.0]))
        detector.encoder.last.weight.mul_(0.01)
        z = detector.encoder(images)
        detector.estimate(batches(images[:4], images[4:]))
    mean = z.mean(dim=0)
    expected = torch.stack([mean[0], torch.tensor(0.1), torch.tensor(-0.1), mean[3]])
    torch.testing.assert_close(detector.centre, expected)
    assert detector.scale == 1  # latents so near count as 1 apart
    with torch.no_grad():
        detector.encoder.last.weight.mul_(10_000)
        z = detector.encoder(images)
        detector.estimate(batches(images[:4], images[4:]))
    distance = (z - detector.centre).square().sum(dim=1)
    torch.testing.assert_close(detector.scale, (distance[:4].mean() + distance[4:].mean()) / 2)


def test_centre_and_scale_are_estimated_after_every_tenth_epoch():
    detector, images = make(every=10), blobs(3, SIZE)
    with torch.no_grad():
        for number in (0, 8):
            detector.each_epoch(number, batches(images))
        assert not detector.centre.any()
        detector.each_epoch(9, batches(images))
    assert detector.centre.any()


def test_the_loss_has_reconstruction_the_gaussian_and_what_the_critic_says_of_interpolations():
    detector, images = make(), blobs(4, SIZE)
    with torch.no_grad():
        found = detector.loss({"normal": Batch(images)}, torch.Generator().manual_seed(1))
        z = detector.encoder(images)
        rebuilt = detector.decoder(z)
        share = 0.5 * torch.rand(4, generator=torch.Generator().manual_seed(1))[:, None]
        mixed = detector.decoder(share * z + (1 - share) * z.flip(0))
        said = detector.critic(mixed)
        critic = detector.critic_loss({"normal": Batch(images)}, torch.Generator().manual_seed(1))
        near = detector.critic(rebuilt + 0.2 * (images - rebuilt))
    similarity = multiscale_similarity(images, rebuilt, (0.5, 0.5), window=3)
    recon = 0.85 * (1 - similarity) + 0.15 * (images - rebuilt).abs().flatten(1).mean(dim=1)
    gaussian = 1 - (-z.square().sum(dim=1)).exp()
    torch.testing.assert_close(found["reconstruction"], recon.mean())
    torch.testing.assert_close(found["gaussian"], gaussian.mean())
    torch.testing.assert_close(found["interpolation"], 0.1 * said.square().mean())
    torch.testing.assert_close(critic["interpolated"], (said - share[:, 0]).square().mean())
    torch.testing.assert_close(critic["rebuilt"], near.square().mean())


def test_the_critics_step_gives_the_autoencoder_no_gradient():
    detector = make()
    sum(detector.critic_loss({"normal": Batch(blobs(4, SIZE))}, torch.Generator()).values()).backward()
    assert all(p.grad is None for part in (detector.encoder, detector.decoder) for p in part.parameters())
    assert all(p.grad is not None for p in detector.critic.parameters())


def test_the_score_mixes_both_parts_and_a_signed_one_lets_errors_cancel():
    plain, signed = make(gaussian_weight=0.9), make(signed=True)
    signed.load_state_dict(plain.state_dict())
    assert plain.mixture().weights == {"reconstruction": pytest.approx(0.1), "gaussian": 0.9}
    images = blobs(3, SIZE)
    with torch.no_grad():
        rebuilt = plain.decoder(plain.encoder(images))
    difference = (images - rebuilt).flatten(1)
    more = score(plain, images).parts["reconstruction"].values
    less = score(signed, images).parts["reconstruction"].values
    torch.testing.assert_close(more - less, 0.15 * (difference.abs().mean(1) - difference.mean(1)))


def test_training_lowers_the_loss_and_a_lesion_is_seen():
    detector = make(network={"width": 4, "blocks": 2, "hidden": 16, "latent": 8})
    losses = fit(detector, blobs(32, SIZE), steps=24, lr=5e-3)["descriptor"]
    assert losses[-1] < losses[0]
    detector.eval()
    healthy = score(detector, blobs(8, SIZE, seed=9)).maps["reconstruction"]
    ill = score(detector, blobs(8, SIZE, seed=9, lesion=True)).maps["reconstruction"]
    assert ill[..., 8:13, 8:13].mean() > healthy[..., 8:13, 8:13].mean()


def test_more_scales_than_pixels_are_refused():
    with pytest.raises(ValueError, match="8 of them need at least 128 pixels"):
        make(scales=(0.1,) * 8)


@pytest.mark.parametrize(("name", "blocks", "size"), [("igd-paper", 6, 256), ("igd-patches-paper", 3, 32)])
def test_the_paper_presets_have_the_layers_of_the_authors_code(name, blocks, size):
    recipe = Recipe.load(name)
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    assert detector.size == (size, size)
    widths = [64 * min(8, 2**level) for level in range(blocks + 1)]

    def down(before, after):  # two norms of `before`, conv 3 without bias, conv 3, conv 1 past them
        return 4 * before + 9 * before**2 + 9 * before * after + after + before * after + after

    def up(before, after):  # norms of both, conv 3 without bias, conv 3, conv 1
        return 2 * (before + after) + 9 * before * after + 9 * after**2 + after + before * after + after

    pairs = list(pairwise(widths))
    tower = 27 * 64 + 64 + sum(down(*pair) for pair in pairs)
    top = 4 * 4 * 512
    encoder = tower + (top * 512 + 512) + (512 * 128 + 128)
    decoder = 128 * top + top + sum(up(after, before) for before, after in pairs) + 2 * 64 + 27 * 64 + 3
    counted = {"encoder": encoder, "decoder": decoder, "critic": tower + top + 1}
    for part, count in counted.items():
        assert sum(p.numel() for p in getattr(detector, part).parameters()) == count, part
    stage = recipe.stages["descriptor"]
    assert (stage.epochs, stage.optimiser.lr, stage.schedule.power) == (256, 1e-4, 0.9)
