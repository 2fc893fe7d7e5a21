import pytest
import torch
from in_memory import blobs, fit, score

from secondread.detectors.contract import Batch
from secondread.detectors.distillation.dinomaly import Dinomaly, DinomalySettings
from secondread.networks.distillation.cosine import cosine_distance, cosine_distance_map
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe


def make(**changes):
    form = Dinomaly.tiny(2)
    settings = DinomalySettings.model_validate({**form.settings.model_dump(), **changes})
    return Dinomaly(settings, form.channels, form.size)


ALIKE = {
    "encoder": {"name": "squeezenet1_1", "weights": "random"},
    "layers": ("features.9", "features.10"),  # of 384 channels each, on one grid
    "heads": 6,
}


VIT = {
    "encoder": {
        "name": "transformers",
        "weights": "random",
        "architecture": {
            "model_type": "dinov2_with_registers",
            "hidden_size": 16,
            "num_hidden_layers": 6,
            "num_attention_heads": 2,
            "mlp_ratio": 2,
            "image_size": 32,
            "patch_size": 8,
            "num_register_tokens": 2,
        },
    },
    "layers": ("blocks.1", "blocks.2", "blocks.3", "blocks.4"),
    "blocks": 4,
}


def test_the_paper_preset_has_the_papers_shapes_and_values():
    recipe = Recipe.load("dinomaly-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
        images = torch.empty(2, 3, 392, 392)
    groups = detector.groups(images)
    assert [tuple(x.shape) for x in groups] == [(2, 768, 28, 28)] * 2
    assert [tuple(x.shape) for x in detector._restored(groups)] == [(2, 768, 28, 28)] * 2
    block = 12 * 768**2 + 9 * 768 + 4 * 768  # weights, biases, two norms
    assert sum(p.numel() for p in detector.decoder.blocks.parameters()) == 8 * block
    assert sum(p.numel() for p in detector.decoder.bottleneck.parameters()) == 8 * 768**2 + 5 * 768
    stage, mining = recipe.stages["decoder"], detector.settings.mining
    assert (stage.steps, stage.batch_size, stage.optimiser.lr, stage.clip_norm) == (10_000, 16, 2e-3, 0.1)
    assert (mining.rule, mining.end, mining.steps, mining.factor) == ("share", 0.9, 1000, 0.1)
    assert detector.settings.loss == "flattened"


def test_a_small_vision_transformer_is_learnt_from():
    detector = make(**VIT)
    images = blobs(16, (32, 32))
    maps = detector.maps(images)
    first, second = detector.groups(images)
    torch.testing.assert_close(first, (maps[0] + maps[1]) / 2)
    torch.testing.assert_close(second, (maps[2] + maps[3]) / 2)
    (losses,) = fit(detector, images, steps=20, lr=5e-3).values()
    assert losses[-1] < losses[0]
    assert score(detector, images[:2]).maps["distance"].shape == (2, 1, 32, 32)


def test_layers_of_one_width_and_grid_are_averaged_in_groups_and_keep_their_width():
    detector = make(**ALIKE)
    images = blobs(2, (32, 32))
    maps = detector.maps(images)
    torch.testing.assert_close(detector.groups(images), maps)
    assert detector.decoder.bottleneck.first.in_features == 384
    one = make(**ALIKE, groups=1)
    torch.testing.assert_close(one.groups(images)[0], sum(one.maps(images)) / 2)


def test_other_layers_stand_side_by_side_on_one_grid():
    detector = make()
    images = blobs(2, (32, 32))
    fine, coarse = detector.maps(images)
    first, second = detector.groups(images)
    grid = coarse.shape[2:]
    assert first.shape == (2, fine.shape[1], *grid)
    torch.testing.assert_close(second, coarse)


@pytest.mark.parametrize("changes", [{}, ALIKE, {"standardise": "channel"}])
def test_loss_and_map_are_the_mean_distance_of_the_groups(changes):
    detector = make(smoothing=0, **changes)
    images = blobs(4, (32, 32))
    fit(detector, images, steps=2)
    with torch.no_grad():
        targets = detector._targets(Batch(images))
        restored = detector._restored(targets)
        pairs = list(zip(targets, restored, strict=True))
        loss = detector.loss({"normal": Batch(images)}, torch.Generator())["distance"]
    expected = torch.stack([cosine_distance(t, s, "flattened").mean() for t, s in pairs]).mean()
    torch.testing.assert_close(loss, expected)
    distance = torch.stack([cosine_distance_map(t, s) for t, s in pairs]).mean(dim=0)
    shown = score(detector, images)
    torch.testing.assert_close(shown.maps["distance"], detector.maps.place(distance, detector.level))
    highest = shown.maps["distance"].flatten(1).topk(11, dim=1).values.mean(dim=1)  # 1 % of 1,024
    torch.testing.assert_close(shown.parts["distance"].values, highest)


def test_training_reduces_the_loss_and_counts_its_steps():
    detector = make(dropout=0.0)
    (losses,) = fit(detector, blobs(16, (32, 32)), steps=20, lr=2e-3).values()
    assert losses[-1] < 0.7 * losses[0]
    assert int(detector.mining.taken) == 20
    assert detector.mining.value == 0.9


def test_settings_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match="groups is 3: the encoder gives 2 layers"):
        make(groups=3)
    with pytest.raises(ValueError, match="grid is 2: there are 2 layers, from 0"):
        make(grid=2)
    with pytest.raises(ValueError, match="3 heads do not share a width of 16"):
        make(heads=3)
