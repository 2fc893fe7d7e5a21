import pytest
import torch
from in_memory import blobs, fit, score
from torch.nn import functional

from secondread.detectors.contract import Batch
from secondread.detectors.one_class import one_class_contrastive
from secondread.detectors.one_class.one_class_contrastive import (
    OneClassContrastive,
    OneClassContrastiveSettings,
)
from secondread.estimators.kernel_density import kernel_distance
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (32, 32)


def make(**changes):
    torch.manual_seed(0)
    scratch = {"name": "residual", "width": 8, "blocks": 1, "layer": "layer2"}
    given = {"encoder": scratch, "head": (16, 8), **changes}
    return OneClassContrastive(OneClassContrastiveSettings.model_validate(given), 1, SIZE).eval()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("turned", [True, False])
@torch.no_grad()
def test_the_loss_tells_each_image_and_each_turn_from_the_others(monkeypatch, turned):
    detector, images = make(turned=turned), blobs(3, SIZE)
    monkeypatch.setattr(one_class_contrastive, "random_view", lambda batch, *rest: batch)
    found = detector.loss({"normal": Batch(images)}, generator())["contrast"]
    every = torch.cat([images.rot90(k, (2, 3)) for k in range(4 if turned else 1)])
    z = detector.head(detector.encoder(every)[-1].mean((2, 3)))
    expected = functional.cross_entropy(z @ z.T / 0.2, torch.arange(len(every)))
    torch.testing.assert_close(found, expected)


def test_the_score_is_a_density_of_the_normals_directions():
    detector = make()
    fit(detector, blobs(24, SIZE), steps=3, batch_size=8)
    detector.eval()
    with torch.no_grad():
        u = functional.normalize(detector.encoder(blobs(24, SIZE))[-1].mean((2, 3)), dim=1)
    torch.testing.assert_close(detector.bank, u, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(detector.gamma, 10 / (16 * u.var(correction=0)), rtol=1e-3, atol=0)
    new = blobs(3, SIZE, seed=4)
    with torch.no_grad():
        rows = functional.normalize(detector.encoder(new)[-1].mean((2, 3)), dim=1)
    expected = kernel_distance(rows, detector.bank, detector.gamma)
    torch.testing.assert_close(score(detector, new).parts["density"].values, expected, rtol=1e-4, atol=1e-6)


def test_training_tells_images_apart_and_a_collapse_is_told_of():
    detector = make()
    losses = fit(detector, blobs(32, SIZE), steps=30, batch_size=8, lr=3e-3)["contrast"]
    assert losses[-1] < 0.8 * losses[0]
    detector.examine(iter([Batch(blobs(8, SIZE, seed=3))]), generator())
    assert detector.warnings() == ()
    with torch.no_grad():
        for parameter in detector.encoder.stem.parameters():
            parameter.zero_()
    detector.eval().examine(iter([Batch(blobs(8, SIZE, seed=3))]), generator())
    assert "the representation has collapsed" in detector.warnings()[0]


def test_the_paper_preset_is_resnet_18_with_nine_layers_behind_it():
    recipe = Recipe.load("one-class-contrastive-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    encoder = 11_176_512 - 2 * 49 * 64  # ResNet-18 of one channel, without the classes
    head = 8 * (512 * 512 + 2 * 512) + 512 * 128
    assert sum(p.numel() for p in detector.encoder.parameters()) == encoder
    assert sum(p.numel() for p in detector.head.parameters()) == head
    stage = recipe.stages["contrast"]
    assert (stage.epochs, stage.optimiser.lr, stage.optimiser.weight_decay) == (2048, 0.01, 3e-4)
