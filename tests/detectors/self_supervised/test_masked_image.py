import pytest
import torch
from in_memory import blobs, fit, score

from secondread.detectors.contract import Batch
from secondread.detectors.self_supervised.masked_image import MaskedImage, MaskedImageSettings, batch_norms
from secondread.networks.self_supervised.masked_patches import hidden_patches, on_pixels, pixels_of_patches
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (32, 32)


def make(**changes):
    torch.manual_seed(0)
    scratch = {"name": "residual", "width": 8, "blocks": 1, "layer": "layer2"}
    given = {"encoder": scratch, "width": 16, **changes}
    return MaskedImage(MaskedImageSettings.model_validate(given), 1, SIZE).eval()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def test_the_loss_is_the_squared_error_of_hidden_valid_pixels_of_what_does_not_show_them():
    detector, images, valid = make(), blobs(3, SIZE), torch.ones(3, 1, *SIZE, dtype=torch.bool)
    valid[..., 20:] = False
    found = detector.loss({"normal": Batch(images, valid)}, generator())["filled"]
    hidden = on_pixels(hidden_patches(3, (4, 4), 0.6, generator()), 8)
    filled = detector.decoder(detector.encoder(images.where(~hidden, 0.5)), (4, 4))
    error = (filled - pixels_of_patches(images, 8)).square()
    counted = pixels_of_patches((hidden & valid).float(), 8)
    expected = (error * counted).flatten(1).sum(1) / counted.flatten(1).sum(1)
    torch.testing.assert_close(found, expected.mean())
    other = images + hidden * torch.rand(images.shape, generator=generator())
    seen = detector.encoder(other.where(~hidden, 0.5))
    torch.testing.assert_close(seen[0], detector.encoder(images.where(~hidden, 0.5))[0])


def test_statistics_are_those_of_whole_images():
    detector = make()
    images = blobs(24, SIZE)
    fit(detector, images, steps=3, batch_size=12)
    first = detector.encoder.stem
    with torch.no_grad():
        halves = [first(2 * part - 1) for part in images.split(12)]
    norm = detector.encoder.norm
    expected = torch.stack([half.mean((0, 2, 3)) for half in halves]).mean(dim=0)
    torch.testing.assert_close(norm.running_mean, expected, rtol=1e-3, atol=1e-4)
    assert {norm.momentum for norm in batch_norms(detector.encoder)} == {0.1}
    pretrained = make(encoder={"name": "squeezenet1_1", "weights": "random", "layer": "features.4"})
    assert [stage.name for stage in pretrained.stages()] == ["masking", "density"]


def test_the_score_is_the_mahalanobis_distance_of_all_levels_pooled():
    detector = make()
    fit(detector, blobs(24, SIZE), steps=3, batch_size=12)
    detector.eval()
    images = blobs(3, SIZE, seed=5)
    with torch.no_grad():
        rows = torch.cat([h.mean((2, 3)) for h in detector.encoder(images)], dim=1)
    assert rows.shape == (3, 8 + 16)
    expected = ((rows - detector.gaussian.mean) @ detector.gaussian.whitener.T).norm(dim=1)
    torch.testing.assert_close(score(detector, images).parts["distance"].values, expected)


def test_training_fills_in_what_is_hidden_and_a_collapse_is_told_of():
    detector = make()
    losses = fit(detector, blobs(32, SIZE), steps=30, batch_size=16, lr=3e-3)["masking"]
    assert losses[-1] < 0.7 * losses[0]
    detector.eval().examine(iter([Batch(blobs(8, SIZE, seed=3))]), generator())
    assert detector.warnings() == ()
    with torch.no_grad():
        for parameter in detector.encoder.stem.parameters():
            parameter.zero_()
    detector.examine(iter([Batch(blobs(8, SIZE, seed=3))]), generator())
    assert "the representation has collapsed" in detector.warnings()[0]


def test_the_preset_learns_from_unlabelled_images_too_and_all_levels():
    with torch.device("meta"):
        detector = build_detector(Recipe.load("masked-image"), pretrained=False)
    first, *others = detector.stages()
    assert set(first.on) == {"normal", "unlabelled"}
    assert {cohort for stage in others for cohort in stage.on} == {"normal"}
    assert detector.encoder.channels == (16, 32, 64, 128)
    assert "flip" not in Recipe.load("masked-image").stages["masking"].augment
    with pytest.raises(ValueError, match="larger multiples of that, not 32×32"):
        make(patch=12)
