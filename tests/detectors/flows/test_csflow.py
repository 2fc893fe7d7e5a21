import pytest
import torch
from in_memory import blobs, fit, score
from pydantic import ValidationError

from secondread.detectors.contract import Batch
from secondread.detectors.flows.csflow import CSFlow, CSFlowSettings, ScaledMaps
from secondread.networks.encoder import EncoderSettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe


def csflow(size=(32, 32), **changes):
    settings = {
        "encoder": {"name": "squeezenet1_1", "weights": "random"},
        "strides": [4],
        "scales": 2,
        "features": {"standardise": "channel", "projection": 6},
        "kernels": [3, 3],
        "hidden": 8,
        **changes,
    }
    return CSFlow(CSFlowSettings.model_validate(settings), 1, size)


def disturbed(**changes):
    """A form whose flow is not the identity, as it is before training."""
    torch.manual_seed(0)
    detector = csflow(**changes)
    with torch.no_grad():
        for parameter in detector.flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return detector


def test_the_paper_preset_has_the_papers_shapes_and_values():
    recipe = Recipe.load("csflow-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
        z, _ = detector.flow.transform(detector.normalised(Batch(torch.empty(1, 3, 768, 768))))
    c = detector.normalised.channels[0]
    assert [tuple(one.shape) for one in z] == [(1, c, side, side) for side in (24, 12, 6)]
    half, by_hand = c // 2, 0
    for k in (3, 3, 3, 5):
        first, others = half * 1024 * k * k + 1024, 1024 * c * k * k + c
        by_hand += 2 * (3 * first + 7 * others + 3)
    assert sum(parameter.numel() for parameter in detector.flow.parameters()) == by_hand
    settings, stage = detector.settings, recipe.stages["flow"]
    assert (settings.clamp, settings.form, settings.pool) == (3.0, "square", "scales")
    assert (stage.epochs, stage.batch_size, stage.clip_norm) == (4 * 60, 16, 1.0)
    assert (stage.optimiser.lr, stage.optimiser.weight_decay) == (2e-4, 1e-5)


def test_a_scale_is_the_encoder_s_map_of_the_smaller_image_and_its_cells_lie_on_the_whole():
    settings = CSFlowSettings(encoder=EncoderSettings(name="resnet18", weights="random"), strides=(8,))
    maps = ScaledMaps(settings, 1, (64, 64), scales=3, pretrained=False)
    images = blobs(1, (64, 64))
    found = maps(images)
    assert maps.grids == ((8, 8), (4, 4), (2, 2))
    half = images.view(1, 1, 32, 2, 32, 2).mean(dim=(3, 5))
    torch.testing.assert_close(found[1], maps.encoder(half)[0])
    assert [cells.stride for cells in maps.cells] == [(8, 8), (16, 16), (32, 32)]
    # a ResNet's cell i looks at pixel 8 i, which in the half image is the mean of pixels 16 i and 16 i + 1
    assert [cells.offset for cells in maps.cells] == [(0, 0), (0.5, 0.5), (1.5, 1.5)]


def test_the_score_is_half_the_mean_square_of_all_of_z():
    detector, images = disturbed(), blobs(3, (32, 32))
    with torch.no_grad():
        z, _ = detector.flow.transform(detector.normalised(Batch(images)))
    found = score(detector, images)
    everything = torch.cat([one.flatten(1) for one in z], dim=1)
    torch.testing.assert_close(found.parts["likelihood"].values, everything.square().mean(dim=1) / 2)
    finest = detector.normalised.maps.place(z[0].square().mean(dim=1, keepdim=True) / 2, 0)
    torch.testing.assert_close(found.maps["likelihood"], finest)


def test_the_loss_is_the_negative_log_density_per_dimension_and_so_is_the_form_density():
    detector, images = disturbed(form="density"), blobs(3, (32, 32))
    with torch.no_grad():
        maps = detector.normalised(Batch(images))
        z, logs = detector.flow.transform(maps)
        density = sum(
            detector.flow.latent.log_density(one) + log.flatten(1).sum(1)
            for one, log in zip(z, logs, strict=True)
        )
        expected = -density / sum(one[0].numel() for one in z)
        loss = detector.eval().loss({"normal": Batch(images)}, torch.Generator())["nats"]
    torch.testing.assert_close(loss, expected.mean())
    torch.testing.assert_close(score(detector, images).parts["likelihood"].values, expected)


def test_padding_counts_on_no_scale():
    detector, images = disturbed(), blobs(1, (32, 32))
    valid = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    valid[..., 16:] = False
    with torch.no_grad():
        z, _ = detector.flow.transform(detector.normalised(Batch(images)))
    seen = [
        one.movedim(1, -1)[detector.normalised.maps.valid(valid, scale)[:, 0]].flatten()
        for scale, one in enumerate(z)
    ]
    expected = torch.cat(seen).square().mean() / 2
    torch.testing.assert_close(score(detector, images, valid).parts["likelihood"].values[0], expected)


def test_the_image_score_may_come_from_the_map_of_all_scales():
    detector, images = disturbed(pool="map", map_scales="all", image_score="max"), blobs(2, (32, 32))
    found = score(detector, images)
    torch.testing.assert_close(
        found.parts["likelihood"].values, found.maps["likelihood"].flatten(1).amax(dim=1)
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"strides": [4, 8]}, "csflow takes one layer of the encoder, not 2"),
        ({"size": (33, 32)}, "sides should be multiples of 2, not 33×32"),
        ({"kernels": [3, 4]}, "should be odd"),
    ],
)
def test_what_does_not_fit_is_refused(changes, line):
    with pytest.raises((ValueError, ValidationError), match=line):
        csflow(**changes)


def test_training_lowers_the_loss_and_a_lesion_raises_the_map_where_it_lies():
    detector = csflow(form="density")
    (losses,) = fit(detector, blobs(48, (32, 32)), steps=30, lr=5e-3).values()
    assert losses[-1] < losses[0]
    healthy, ill = (blobs(8, (32, 32), seed=9, lesion=lesion) for lesion in (False, True))
    change = (score(detector, ill).maps["likelihood"] - score(detector, healthy).maps["likelihood"]).mean(0)
    assert change[0, 14:24, 14:24].mean() > 2 * change[0, :8, :8].mean().abs()
