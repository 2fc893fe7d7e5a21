import pytest
import torch
from in_memory import blobs, fit, score
from torch.nn import functional

from secondread.detectors.contract import Batch
from secondread.detectors.reconstruction.feature_autoencoder import (
    FeatureAutoencoder,
    FeatureAutoencoderSettings,
    MapAutoencoder,
)
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (32, 32)


def make(**changes):
    form = FeatureAutoencoder.tiny(2)
    settings = FeatureAutoencoderSettings.model_validate({**form.settings.model_dump(), **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FeatureAutoencoder(settings, form.channels, form.size).eval()


@pytest.mark.parametrize("size", [(32, 32), (13, 7), (5, 8, 9)])
def test_a_map_of_any_size_comes_back_in_its_shape(size):
    network = MapAutoencoder(len(size), 6, (8, 10), 0.1)
    assert network(torch.rand(3, 6, *size)).shape == (3, 6, *size)


def plain_similarity(x, y, window, data_range):
    """SSIM as the authors' code has it: convolutions with zeros around, channel by channel."""
    offsets = torch.arange(window) - window // 2
    line = torch.exp(-(offsets**2) / (2 * 1.5**2))
    kernel = torch.outer(line, line) / line.sum() ** 2
    kernel = kernel.expand(x.shape[1], 1, window, window)

    def blur(z):
        return functional.conv2d(z, kernel, padding=window // 2, groups=x.shape[1])

    mx, my = blur(x), blur(y)
    vx, vy, v = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    found = (2 * mx * my + c1) * (2 * v + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return found.mean(dim=1, keepdim=True)


def test_the_loss_and_the_score_are_one_minus_the_similarity_of_features():
    detector = make(window=5, data_range=2.0, smoothing=0, top_share=0.1)
    images = blobs(3, SIZE)
    h = detector.maps.on_grid(detector.maps(images))
    with torch.no_grad():
        expected = 1 - plain_similarity(h, detector.network(h), 5, 2.0)
        loss = detector.loss({"normal": Batch(images)}, torch.Generator())["dissimilarity"]
    torch.testing.assert_close(loss, expected.mean(), atol=1e-4, rtol=1e-3)
    found = score(detector, images)
    shown = detector.maps.place(expected, 0)
    torch.testing.assert_close(found.maps["dissimilarity"], shown, atol=1e-4, rtol=1e-3)
    top = shown.flatten(1).sort(dim=1, descending=True).values[:, :103].mean(dim=1)
    torch.testing.assert_close(found.parts["dissimilarity"].values, top, atol=1e-4, rtol=1e-3)


def test_features_that_the_loop_kept_give_the_same_loss():
    detector, images = make(), blobs(3, SIZE)
    with torch.no_grad():
        computed = detector.loss({"normal": Batch(images)}, torch.Generator())
        kept = detector.loss({"normal": Batch(images, features=detector.maps(images))}, torch.Generator())
    torch.testing.assert_close(computed, kept)


def test_training_brings_the_loss_down_and_a_lesion_raises_the_score():
    detector = make(features={"standardise": "channel"}, data_range=4.0, widths=(16, 24), dropout=0.0)
    losses = fit(detector, blobs(32, SIZE), steps=30, lr=5e-3)["autoencoder"]
    assert losses[-1] < 0.9 * losses[0]
    detector.eval()
    healthy = score(detector, blobs(8, SIZE, seed=9)).parts["dissimilarity"].values
    ill = score(detector, blobs(8, SIZE, seed=9, lesion=True)).parts["dissimilarity"].values
    assert ill.mean() > healthy.mean()


def test_pixels_at_or_below_the_foreground_and_padding_enter_no_score():
    detector = make(foreground=0.5)
    images, valid = torch.zeros(2, 1, *SIZE), torch.ones(2, 1, *SIZE, dtype=torch.bool)
    images[0, :, 4:8] = 0.9
    valid[:, :, :, 16:] = False
    counted = detector._counted(Batch(images, valid))
    assert torch.equal(counted[0], (images[0] > 0.5) & valid[0])
    assert torch.equal(counted[1], valid[1])  # nothing is above it
    assert make()._counted(Batch(images)) is None


def test_the_paper_preset_has_the_papers_shapes():
    recipe = Recipe.load("feature-autoencoder-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
        found = detector.dissimilarity(detector.features(Batch(torch.empty(2, 1, 128, 128, device="meta"))))
    assert sum(detector.maps.channels) == 448
    assert found.shape == (2, 1, 32, 32)
    pairs = [(448, 100), (100, 150), (150, 200), (200, 300)]
    weights = sum(before * after * (25 + 36) + 2 * (before + after) for before, after in pairs) + 448**2
    assert sum(p.numel() for p in detector.network.parameters()) == weights


def test_an_even_window_is_refused():
    with pytest.raises(ValueError, match="should be odd"):
        make(window=4)
