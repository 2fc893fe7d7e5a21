import pytest
import torch
from in_memory import blobs, fit, score

from secondread.detectors.contract import Batch
from secondread.detectors.reconstruction.perceptual_ae import PerceptualAE, PerceptualAESettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (32, 32)


@pytest.fixture(scope="module")
def fitted():
    torch.manual_seed(0)
    settings = PerceptualAESettings(
        network={"width": 2, "hidden": 8, "latent": 4},
        encoder={"name": "squeezenet1_1", "weights": "random"},
        strides=(4, 8),
    )
    detector = PerceptualAE(settings, 1, SIZE)
    losses = fit(detector, blobs(16, SIZE), steps=12)["reconstruction"]
    return detector.eval(), losses


def expected(detector, images):
    """Each level's |h - h'| / mean |h|, mean over channels, of features standardised by the normals."""
    found = []
    with torch.no_grad():
        rebuilt = (detector.network(2 * images - 1) + 1) / 2
        pairs = zip(detector.maps.encoder(images), detector.maps.encoder(rebuilt), strict=True)
        for level, (own, other) in enumerate(pairs):
            fitted = detector.normalised.levels[level]
            h, other = ((f - fitted.mean) / fitted.scale for f in (own, other))
            found.append((h - other).abs().mean(1, keepdim=True) / h.abs().mean((1, 2, 3), keepdim=True))
    return found


def test_the_score_is_the_mean_relative_distance_of_features_over_levels(fitted):
    detector, _ = fitted
    images = blobs(3, SIZE, seed=1)
    levels = expected(detector, images)
    mean = torch.stack([level.mean((1, 2, 3)) for level in levels]).mean(0)
    found = score(detector, images)
    torch.testing.assert_close(found.parts["reconstruction"].values, mean)
    placed = torch.stack([detector.maps.place(level, number) for number, level in enumerate(levels)])
    torch.testing.assert_close(found.maps["reconstruction"], placed.mean(0))
    loss = detector.loss({"normal": Batch(images)}, torch.Generator())
    assert loss["reconstruction"].item() == pytest.approx(mean.mean().item(), rel=1e-5)


def test_channels_are_standardised_by_normals(fitted):
    detector, _ = fitted
    h = detector.normalised.normalised(detector.seen(blobs(16, SIZE))[0], 0)
    deviations = h.std((0, 2, 3))  # of channels that hardly vary they are held down
    assert h.mean((0, 2, 3)).abs().max() < 1e-3
    assert 0.8 < deviations.max() < 1.01


def test_training_lowers_the_loss(fitted):
    _, losses = fitted
    assert losses[-1] < losses[0]


def test_what_lies_outside_zero_to_one_counts_as_its_end(fitted):
    detector, _ = fitted
    images = blobs(2, SIZE)
    images[:, :, 3, 3] = 1.0
    brighter = images.clone()
    brighter[:, :, 3, 3] = 7.0
    torch.testing.assert_close(
        score(detector, brighter).maps["reconstruction"], score(detector, images).maps["reconstruction"]
    )


def test_the_paper_preset_compares_the_second_convolution_of_the_fourth_block_of_vgg():
    with torch.device("meta"):
        detector = build_detector(Recipe.load("perceptual-ae-paper"), pretrained=False)
    kernels = 9 * (3 * 64 + 64 * 64 + 64 * 128 + 128**2 + 128 * 256 + 3 * 256**2 + 256 * 512 + 512**2)
    biases = 2 * 64 + 2 * 128 + 4 * 256 + 2 * 512
    assert sum(p.numel() for p in detector.maps.encoder.parameters()) == kernels + biases == 5_865_536
    assert detector.maps.grids == ((8, 8),)
