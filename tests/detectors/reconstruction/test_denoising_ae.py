import pytest
import torch
from in_memory import blobs, fit, score
from torch.nn import functional

from secondread.detectors.contract import Batch
from secondread.detectors.reconstruction.denoising_ae import DenoisingAE, DenoisingAESettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (16, 16)


def make(size=SIZE, channels=1, **changes):
    form = DenoisingAE.tiny(len(size))
    settings = DenoisingAESettings.model_validate({**form.settings.model_dump(), **changes})
    return DenoisingAE(settings, channels, size).eval()


def test_noise_is_coarse_rolled_alike_in_a_batch_and_has_the_given_deviation():
    detector = make((64, 64), noise={"deviation": 0.3, "cells": 8})
    x = torch.zeros(200, 1, 64, 64)
    found = detector.noise(x, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    coarse = 0.3 * torch.randn(200, 1, 8, 8, generator=generator)
    fine = functional.interpolate(coarse, size=(64, 64), mode="bilinear", align_corners=True)
    offsets = [int(torch.randint(64, (), generator=generator)) for _ in range(2)]
    torch.testing.assert_close(found, fine.roll(offsets, (2, 3)))
    corner = found.roll([-o for o in offsets], (2, 3))[..., 0, 0]
    assert corner.std().item() == pytest.approx(0.3, rel=0.15)


def test_noise_and_loss_lie_in_the_foreground():
    detector = make(foreground=0.5)
    images, valid = blobs(4, SIZE), torch.ones(4, 1, *SIZE, dtype=torch.bool)
    valid[..., :5] = False
    seen = []
    handle = detector.network.register_forward_hook(lambda _, given, out: seen.append((given[0], out)))
    loss = detector.loss({"normal": Batch(images, valid)}, torch.Generator().manual_seed(0))
    handle.remove()
    foreground = (images > 0.5) & valid
    given, rebuilt = seen[0]
    assert torch.equal(given[~foreground], images[~foreground])
    assert (given[foreground] != images[foreground]).all()
    expected = ((rebuilt - images).square() * foreground).sum() / images.numel()
    torch.testing.assert_close(loss["reconstruction"], expected)


def test_foreground_goes_by_the_sum_over_channels():
    detector = make(channels=2, foreground=0.5)
    images = torch.full((1, 2, *SIZE), 0.2)
    images[..., :4, :] = 0.3
    assert torch.equal(detector.foreground(Batch(images))[0, 0].sum(dim=1), torch.tensor([16] * 4 + [0] * 12))
    assert make().foreground(Batch(torch.zeros(1, 1, *SIZE))).sum() == 0
    assert make(foreground=None).foreground(Batch(torch.zeros(1, 1, *SIZE))).all()


def test_the_map_is_the_median_of_the_residual_over_the_eroded_foreground():
    detector = make(foreground=0.01)
    images = blobs(2, SIZE)
    images[:, :, :4] = 0
    found = score(detector, images)
    with torch.no_grad():
        residual = (images - detector.network(images)).abs()
    residual[:, :, :5] = 0  # erosion by a square of 3
    around = functional.pad(residual, (1, 1, 1, 1), mode="reflect")
    median = around.unfold(2, 3, 1).unfold(3, 3, 1).flatten(4).median(dim=-1).values
    torch.testing.assert_close(found.maps["residual"], median)
    torch.testing.assert_close(found.parts["residual"].values, median[:, :, 4:].flatten(1).mean(dim=1))


def test_a_positive_residual_counts_what_is_brighter_than_it_should_be():
    both, positive = make(median=1, erosion=1), make(median=1, erosion=1, residual="positive")
    positive.load_state_dict(both.state_dict())
    images = blobs(2, SIZE)
    with torch.no_grad():
        residual = images - both.network(images)
    torch.testing.assert_close(score(both, images).maps["residual"], residual.abs())
    torch.testing.assert_close(score(positive, images).maps["residual"], residual.clamp_min(0))


def test_an_image_without_foreground_scores_0():
    found = score(make(image_score="max"), torch.zeros(2, 1, *SIZE))
    assert found.parts["residual"].values.tolist() == [0.0, 0.0]


def test_training_takes_noise_off_and_a_lesion_raises_the_score():
    detector = make(width=8, noise={"deviation": 0.2, "cells": 4})
    losses = fit(detector, blobs(32, SIZE), steps=30, lr=5e-3)["denoising"]
    assert losses[-1] < 0.5 * losses[0]
    detector.eval()
    healthy = score(detector, blobs(8, SIZE, seed=9)).parts["residual"].values
    ill = score(detector, blobs(8, SIZE, seed=9, lesion=True)).parts["residual"].values
    assert ill.mean() > 1.2 * healthy.mean()


def test_a_median_wider_than_the_image_is_refused():
    with pytest.raises(ValueError, match="median 31 needs images larger"):
        make((8, 8), median=31)


def test_the_paper_preset_has_the_authors_network_and_programme():
    recipe = Recipe.load("denoising-ae-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
        assert detector.network(torch.empty(1, 4, 128, 128, device="meta")).shape == (1, 4, 128, 128)

    def double(before, after):  # two 3×3 convolutions with biases, two group normalisations
        return 9 * after * (before + after) + 2 * after + 4 * after

    widths = (64, 128, 256, 512)
    down = sum(double(before, after) for before, after in zip((4, *widths), widths, strict=False))
    up = sum(4 * 2 * after * after + after + double(2 * after, after) for after in widths[:3])
    assert sum(p.numel() for p in detector.parameters()) == down + up + 64 * 4 + 4
    stage = recipe.stages["denoising"]
    assert (stage.steps, stage.batch_size, stage.schedule.falls) == (2_100 * 32, 16, 21)
    assert (stage.optimiser.lr, stage.optimiser.weight_decay, stage.optimiser.amsgrad) == (1e-4, 1e-5, True)
    assert (detector.settings.noise.deviation, detector.settings.noise.cells) == (0.2, 16)
