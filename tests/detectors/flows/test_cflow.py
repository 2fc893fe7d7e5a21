import pytest
import torch
from in_memory import blobs, fit, score
from torch.nn import functional

from secondread.detectors.contract import Batch
from secondread.detectors.flows.cflow import CFlow, CFlowSettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe


def cflow(**changes):
    settings = {
        "encoder": {"name": "squeezenet1_1", "weights": "random"},
        "strides": [4, 8],
        "features": {"standardise": "channel", "projection": 8},
        "blocks": 2,
        "condition": 8,
        **changes,
    }
    return CFlow(CFlowSettings.model_validate(settings), 1, (32, 32))


def test_the_paper_preset_has_the_papers_shapes_and_values():
    recipe = Recipe.load("cflow-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
        found = list(detector._likelihoods(Batch(torch.empty(2, 3, 256, 256))))
    assert [tuple(likelihood.shape) for likelihood in found] == [(2, 1, side, side) for side in (32, 16, 8)]
    by_hand = 0
    for c in (512, 1024, 2048):
        seen = c // 2 + 128
        by_hand += 8 * (seen * 2 * seen + 2 * seen + 2 * seen * c + c + 2 * c)
    assert sum(parameter.numel() for parameter in detector.flows.parameters()) == by_hand
    settings, stage = detector.settings, recipe.stages["flow"]
    assert (settings.blocks, settings.clamp, settings.condition, settings.positions) == (8, 1.9, 128, 256)
    assert (stage.epochs, stage.batch_size, stage.optimiser.lr) == (25 * 8, 32, 2e-4)


def test_the_loss_is_that_of_positions_drawn_without_replacement_by_the_generator():
    detector, batch = cflow(positions=20), Batch(blobs(2, (32, 32)))
    with torch.no_grad():
        terms = detector.loss({"normal": batch}, torch.Generator().manual_seed(5))
        again = detector.loss({"normal": batch}, torch.Generator().manual_seed(5))
        others = detector.loss({"normal": batch}, torch.Generator().manual_seed(6))
        first, second = (likelihood.flatten() for likelihood in detector._likelihoods(batch))
    drawn = torch.randperm(len(first), generator=torch.Generator().manual_seed(5))[:20]
    torch.testing.assert_close(terms["level_1"], -functional.logsigmoid(first[drawn]).mean())
    assert terms["level_1"] == again["level_1"] != others["level_1"]
    assert len(second) < 20
    torch.testing.assert_close(terms["level_2"], -functional.logsigmoid(second).mean())


def test_padding_is_never_drawn():
    detector, images = cflow(positions=1000), blobs(1, (32, 32))
    valid = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    valid[..., 16:] = False
    with torch.no_grad():
        terms = detector.loss({"normal": Batch(images, valid)}, torch.Generator())
        first, _ = detector._likelihoods(Batch(images))
    seen = detector.normalised.maps.valid(valid, 0)
    torch.testing.assert_close(terms["level_1"], -functional.logsigmoid(first[seen]).mean())


def test_the_likelihood_depends_on_the_place_and_not_on_the_neighbours():
    detector, rows = cflow(), torch.randn(1, 8).expand(3, 8)
    likelihood = detector._likelihood(0, rows, torch.tensor([0, 1, 7 * 7])).detach()
    assert likelihood[0] == likelihood[2] != likelihood[1]


def test_the_map_is_one_less_each_level_s_share_of_the_highest_training_likelihood():
    detector, images = cflow(), blobs(6, (32, 32))
    fit(detector, images, steps=3)
    with torch.no_grad():
        levels = list(detector._likelihoods(Batch(images)))
    torch.testing.assert_close(detector.highest, torch.stack([level.amax() for level in levels]))
    found = score(detector, images)
    place = detector.normalised.maps.place
    expected = 2 - sum(
        place((likelihood - likelihood.amax()).exp(), level) for level, likelihood in enumerate(levels)
    )
    torch.testing.assert_close(found.maps["likelihood"], expected)
    torch.testing.assert_close(found.parts["likelihood"].values, expected.flatten(1).amax(dim=1))
    assert float(expected.min()) >= 0


def test_the_logarithmic_form_needs_no_constants():
    detector, images = cflow(form="log", image_score="mean"), blobs(2, (32, 32))
    assert [stage.name for stage in detector.stages()] == ["flow"]
    with torch.no_grad():
        expected = sum(
            detector.normalised.maps.place(-likelihood, level) / 2
            for level, likelihood in enumerate(detector._likelihoods(Batch(images)))
        )
    torch.testing.assert_close(score(detector, images).maps["likelihood"], expected)


def test_a_code_that_does_not_divide_by_the_axes_is_refused():
    with pytest.raises(ValueError, match="multiple of 4"):
        cflow(condition=10)


def test_training_lowers_the_loss_and_a_lesion_raises_the_map_where_it_lies():
    detector = cflow(form="log")
    (losses,) = fit(detector, blobs(48, (32, 32)), steps=30, lr=5e-3).values()
    assert losses[-1] < losses[0]
    healthy, ill = (blobs(8, (32, 32), seed=9, lesion=lesion) for lesion in (False, True))
    change = (score(detector, ill).maps["likelihood"] - score(detector, healthy).maps["likelihood"]).mean(0)[
        0
    ]
    assert change[14:24, 14:24].mean() > 2 * change[:8, :8].mean().abs()
