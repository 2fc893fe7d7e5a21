import pytest
import torch
from in_memory import blobs, fit, score

from secondread.detectors.contract import Batch
from secondread.detectors.flows.fastflow import FastFlow, FastFlowSettings, LayerNormalisation
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SQUEEZENET = {"encoder": {"name": "squeezenet1_1", "weights": "random"}, "strides": [4, 8]}


def fastflow(**changes):
    settings = {**SQUEEZENET, "steps": 2, "features": {"standardise": "channel", "projection": 8}, **changes}
    return FastFlow(FastFlowSettings.model_validate(settings), 1, (32, 32))


def test_the_paper_preset_has_the_papers_shapes_and_values():
    recipe = Recipe.load("fastflow-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
        flowed = list(detector._flowed(Batch(torch.empty(2, 3, 256, 256)), None))
    assert [tuple(z.shape) for z, _ in flowed] == [(2, 256, 64, 64), (2, 512, 32, 32), (2, 1024, 16, 16)]
    assert all(log_density.shape == (2, 1, *z.shape[2:]) for z, log_density in flowed)
    by_hand = 0
    for c, side in ((256, 64), (512, 32), (1024, 16)):
        half = c // 2
        subnets = sum(half * half * k * k + half + half * c * k * k + c for k in (3, 1) * 4)
        by_hand += subnets + 8 * 2 * c + 2 * c * side**2
    trained = [*detector.flows.parameters(), *detector.norms.parameters()]
    assert sum(parameter.numel() for parameter in trained) == by_hand
    stage = recipe.stages["flow"]
    assert (stage.epochs, stage.batch_size) == (500, 32)
    assert (stage.optimiser.lr, stage.optimiser.weight_decay) == (1e-3, 1e-5)


def test_the_layer_normalisation_s_scale_counts_as_the_jacobian_has_it():
    norm = LayerNormalisation(2, (2, 3), learned=True)
    with torch.no_grad():
        norm.scale.copy_(torch.rand(2, 2, 3) - 0.5)
        norm.offset.normal_()
    plain = LayerNormalisation(2, (2, 3), learned=False)
    h = torch.randn(1, 2, 2, 3)
    normalised, nothing = plain(h, None)
    torch.testing.assert_close(normalised.mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(normalised.square().mean(), torch.tensor(1.0), atol=1e-4, rtol=0)
    assert float(nothing) == 0
    scaled, log_scale = norm(h, None)
    torch.testing.assert_close(scaled, normalised * norm.scale + norm.offset)
    jacobian = torch.diag(norm.scale.detach().flatten())
    torch.testing.assert_close(log_scale.sum().detach(), torch.linalg.slogdet(jacobian)[1])


def test_shrinking_the_features_by_the_learned_scale_does_not_raise_the_likelihood():
    detector = fastflow(layer_norm="affine")
    batches = {"normal": Batch(blobs(4, (32, 32)))}
    with torch.no_grad():
        before = detector.loss(batches, torch.Generator())
        for norm in detector.norms:
            norm.scale.mul_(0.01)
        after = detector.loss(batches, torch.Generator())
    assert all(after[name] > before[name] for name in before)


def test_padding_is_no_part_of_the_normalisation():
    norm, h = LayerNormalisation(3, (4, 4), learned=False), torch.randn(1, 3, 4, 4)
    valid = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    valid[..., 2:] = False
    changed = h.clone()
    changed[..., 2:] = 100.0
    torch.testing.assert_close(norm(h, valid)[0][..., :2], norm(changed, valid)[0][..., :2])
    torch.testing.assert_close(norm(h, valid)[0][..., :2], norm(h[..., :2], None)[0])


def test_maps_are_the_equations_of_their_forms():
    images, shown = blobs(2, (32, 32)), {}
    for form in ("exp", "square", "density"):
        torch.manual_seed(0)
        detector = fastflow(form=form, layer_norm="plain")
        shown[form] = score(detector, images).maps["likelihood"]
    expected = {form: torch.zeros(2, 1, 32, 32) for form in shown}
    with torch.no_grad():
        for level, (z, log_density) in enumerate(detector._flowed(Batch(images), None)):
            mean = z.square().mean(dim=1, keepdim=True)
            values = {"exp": -torch.exp(-mean / 2), "square": mean / 2, "density": -log_density / z.shape[1]}
            for form, value in values.items():
                expected[form] += detector.normalised.maps.place(value, level) / 2
    for form, anomaly_map in shown.items():
        torch.testing.assert_close(anomaly_map, expected[form])


@pytest.mark.parametrize("image_score", ["max", "mean", "top"])
def test_the_image_score_is_pooled_from_the_map_s_valid_pixels(image_score):
    torch.manual_seed(0)
    detector, images = fastflow(form="square", image_score=image_score), blobs(2, (32, 32))
    valid = torch.ones(2, 1, 32, 32, dtype=torch.bool)
    valid[..., 16:] = False
    found = score(detector, images, valid)
    seen = found.maps["likelihood"][..., :16].flatten(1).sort(dim=1, descending=True).values
    expected = {"max": seen[:, 0], "mean": seen.mean(dim=1), "top": seen[:, :52].mean(dim=1)}[image_score]
    torch.testing.assert_close(found.parts["likelihood"].values, expected)


def test_the_loss_in_nats_is_that_per_dimension_times_the_dimensions():
    images, terms = blobs(3, (32, 32)), {}
    for unit in ("nats", "per_dimension"):
        torch.manual_seed(0)
        terms[unit] = fastflow(flow_loss=unit).loss({"normal": Batch(images)}, torch.Generator())
    for name, positions in (("level_1", 7 * 7), ("level_2", 3 * 3)):
        torch.testing.assert_close(terms["nats"][name], terms["per_dimension"][name] * 8 * positions)


def test_training_lowers_the_loss_and_a_lesion_raises_the_map_where_it_lies():
    detector = fastflow(form="density", layer_norm="plain", flow_loss="per_dimension")
    (losses,) = fit(detector, blobs(48, (32, 32)), steps=30, lr=5e-3).values()
    assert losses[-1] < losses[0]
    healthy, ill = (blobs(8, (32, 32), seed=9, lesion=lesion) for lesion in (False, True))
    change = (score(detector, ill).maps["likelihood"] - score(detector, healthy).maps["likelihood"]).mean(0)[
        0
    ]
    assert change[14:24, 14:24].mean() > 2 * change[:8, :8].mean().abs()
