import pytest
import torch
from in_memory import blobs, fit, score

from secondread.detectors.contract import Batch
from secondread.detectors.one_class.deep_svdd import (
    DeepSVDD,
    DeepSVDDSettings,
    upper_quantile,
    with_contrast,
)
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (16, 16)


def make(**changes):
    torch.manual_seed(0)
    given = {"network": {"widths": (4, 8), "code": 32}, **changes}
    return DeepSVDD(DeepSVDDSettings.model_validate(given), 1, SIZE).eval()


def batches(*images):
    return iter([{"normal": Batch(x)} for x in images])


@torch.no_grad()
def test_the_score_is_the_squared_distance_of_the_code_from_the_centre():
    detector, images = make(contrast=False), blobs(3, SIZE)
    detector.centre.copy_(torch.randn(32))
    expected = (detector.network(images) - detector.centre).pow(2).sum(1)
    torch.testing.assert_close(score(detector, images).parts["distance"].values, expected)
    soft = make(contrast=False, boundary="soft")
    soft.centre.copy_(detector.centre)
    soft.radius.fill_(3.0)
    torch.testing.assert_close(score(soft, images).parts["distance"].values, expected - 9)


@torch.no_grad()
def test_the_soft_loss_is_the_sphere_and_what_lies_outside_of_it():
    detector, images = make(contrast=False, boundary="soft", nu=0.2), blobs(5, SIZE)
    detector.radius.fill_(0.5)
    d = (detector.network(images) - detector.centre).pow(2).sum(1)
    found = detector.loss({"normal": Batch(images)}, torch.Generator())
    torch.testing.assert_close(found["radius"], torch.tensor(0.25))
    torch.testing.assert_close(found["outside"], (d - 0.25).clamp_min(0).mean() / 0.2)
    hard = make(contrast=False)
    torch.testing.assert_close(hard.loss({"normal": Batch(images)}, torch.Generator())["distance"], d.mean())


@torch.no_grad()
def test_the_radius_is_0_in_the_warm_up_and_then_leaves_the_share_nu_outside():
    detector, images = make(contrast=False, boundary="soft", nu=0.25, warm_up=2), blobs(9, SIZE)
    detector.each_epoch(0, batches(images))
    assert detector.radius == 0
    detector.each_epoch(1, batches(images[:4], images[4:]))
    d = detector.distance(images)
    torch.testing.assert_close(detector.radius.square(), d.sort().values[6])
    assert int((d > detector.radius.square() + 1e-6).sum()) == 2
    assert upper_quantile(torch.tensor([4.0, 0.0, 1.0]), 0.25) == 2.5


@torch.no_grad()
def test_the_centre_is_the_normals_mean_code_before_the_first_step():
    detector, images = make(contrast=False), 9 * blobs(6, SIZE)
    detector.find_centre(batches(images[:2], images[2:]), torch.Generator())
    mean = detector.network(images).mean(0)
    far = mean.abs() >= 0.1
    assert far.any()
    torch.testing.assert_close(detector.centre[far], mean[far])
    assert detector.centre[~far].abs().sub(0.1).abs().max() < 1e-6


def test_contrast_leaves_padding_out_and_brightness_does_not_matter():
    images, valid = blobs(3, SIZE), torch.ones(3, 1, *SIZE, dtype=torch.bool)
    valid[..., :4] = False
    x = with_contrast(Batch(images, valid))
    inside = images[..., 4:] - images[..., 4:].mean((1, 2, 3), keepdim=True)
    inside = inside / inside.abs().mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(x[..., 4:], inside)
    assert not x[..., :4].any()
    torch.testing.assert_close(with_contrast(Batch(0.3 * images + 0.2, valid)), x, rtol=1e-3, atol=1e-4)
    assert not with_contrast(Batch(torch.ones(1, 1, *SIZE))).any()


@torch.no_grad()
def test_values_are_brought_to_0_to_1_by_the_normals_extremes():
    detector, images = make(), blobs(7, SIZE)
    (stage, *_) = detector.stages()
    for batch in batches(images[:3], images[3:]):
        stage.collect(batch)
    stage.finish()
    x = detector.taken(Batch(images))
    torch.testing.assert_close(torch.stack((x.min(), x.max())), torch.tensor([0.0, 1.0]))


def test_the_autoencoder_comes_first_and_trains_the_network_that_goes_on():
    contrast, autoencoder, last = make().stages()
    assert [contrast.name, autoencoder.name, last.name] == ["contrast", "autoencoder", "one-class"]
    detector = make()
    stages = list(detector.stages())
    assert detector.network in stages[1].steps[0].trains
    assert list(stages[2].steps[0].trains) == [detector.network]
    alone = make(pretrain=False, contrast=False)
    assert [stage.name for stage in alone.stages()] == ["one-class"]
    assert alone.decoder is None


def test_training_draws_normals_to_the_centre_and_leaves_a_lesion_outside():
    detector = make(boundary="soft", warm_up=2)
    losses = fit(detector, blobs(48, SIZE), steps=40, batch_size=16, lr=1e-3)
    assert losses["autoencoder"][-1] < losses["autoencoder"][0]
    assert losses["one-class"][-1] < losses["one-class"][0]
    assert detector.radius > 0
    assert detector.warnings() == ()
    detector.eval()
    healthy = score(detector, blobs(16, SIZE, seed=9)).parts["distance"].values
    ill = score(detector, blobs(16, SIZE, seed=9, lesion=True)).parts["distance"].values
    assert ill.median() > healthy.median()


@torch.no_grad()
def test_a_network_that_gives_one_code_to_all_images_is_told_of():
    detector, held_out = make(boundary="soft"), [Batch(blobs(6, SIZE)), Batch(blobs(2, SIZE, seed=1))]
    detector.centre.fill_(0.1)
    detector.radius.fill_(1.0)
    for parameter in detector.network.parameters():
        parameter.zero_()
    figures = detector.examine(iter(held_out), torch.Generator())
    assert figures["distance of held-out normals"] == figures["distance of their negatives"]
    (warning,) = detector.warnings()
    assert "the network has collapsed" in warning
    detector.radius.zero_()
    assert "ended within its 10 epochs of warm-up" in detector.warnings()[0]


def test_the_paper_preset_has_the_authors_network_for_cifar():
    recipe = Recipe.load("deep-svdd-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    encoder = 25 * (1 * 32 + 32 * 64 + 64 * 128) + 128 * 4 * 4 * 128
    decoder = 25 * (8 * 128 + 128 * 64 + 64 * 32 + 32 * 1)
    assert sum(p.numel() for p in detector.network.parameters()) == encoder
    assert sum(p.numel() for p in detector.decoder.parameters()) == decoder
    first, last = recipe.stages["autoencoder"], recipe.stages["one-class"]
    assert (first.epochs, last.epochs, first.batch_size, last.optimiser.lr) == (350, 150, 200, 1e-4)
    with pytest.raises(ValueError, match="multiple of 16"):
        make(network={"widths": (4, 8), "code": 20})
