"""FPI, PII and NSA: what each learns, its score, and its paper's form."""

import pytest
import torch
from in_memory import blobs, score
from pydantic import ValidationError
from torch.nn import functional

from secondread.detectors.contract import Batch
from secondread.detectors.self_supervised.fpi import FPI, FPISettings
from secondread.detectors.self_supervised.nsa import NSA, NSASettings
from secondread.detectors.self_supervised.pii import PII, PIISettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (16, 16)


def numbers(detector):
    return sum(parameter.numel() for parameter in detector.network.parameters())


def test_what_is_left_out_of_anomalies_is_the_papers():
    levels = FPISettings(anomalies={"levels": 4}).anomalies
    assert (levels.share, levels.target, levels.differing, levels.levels) == (1, "alpha", True, 4)
    assert PIISettings(anomalies={"core": 0.5}).anomalies.share == 1
    assert NSASettings(anomalies={"radius": 2}).anomalies.share == 1
    assert NSASettings().anomalies.share == 1
    with pytest.raises(ValidationError, match="classes of alpha"):
        FPISettings(anomalies={"levels": 4, "target": "mask"})


def test_levels_are_classes_and_the_map_is_the_expected_alpha():
    torch.manual_seed(0)
    detector = FPI(FPISettings(width=1, anomalies={"levels": 4}, image_score="mean"), 1, SIZE).eval()
    images = blobs(4, SIZE)
    made = detector.drawn(Batch(images), torch.Generator().manual_seed(0))
    assert set(made.target.unique().tolist()) <= {0, 0.25, 0.5, 0.75, 1}
    logits = detector.logits(made.images)
    valid = torch.ones(4, 1, *SIZE, dtype=torch.bool)
    valid[:, :, :, :4] = False
    loss = detector.segmentation_loss(logits, made, valid)
    classes = (4 * made.target[:, 0]).long()
    expected = functional.cross_entropy(
        logits.movedim(1, -1)[:, :, 4:].flatten(0, 2), classes[..., 4:].flatten()
    )
    torch.testing.assert_close(loss, expected)
    found = score(detector, images)
    p = detector.logits(images).softmax(dim=1)
    alpha = (p[:, 1] + 2 * p[:, 2] + 3 * p[:, 3] + 4 * p[:, 4])[:, None] / 4
    torch.testing.assert_close(found.maps["anomaly"], alpha)
    torch.testing.assert_close(found.parts["anomaly"].values, alpha.mean((1, 2, 3)))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [(FPI, FPISettings(width=1)), (PII, PIISettings(width=1)), (NSA, NSASettings(width=4, pool=False))],
)
def test_the_target_is_learnt_by_binary_cross_entropy(kind, settings):
    torch.manual_seed(0)
    detector = kind(settings, 1, SIZE).eval()
    batch = Batch(blobs(6, SIZE))
    made = detector.drawn(batch, torch.Generator().manual_seed(1))
    assert made.changed.all()
    assert len(made.target.unique()) > 2  # degrees, not a mask
    found = detector.loss({"normal": batch}, torch.Generator().manual_seed(1))["segmentation"]
    p = detector.anomaly_map(made.images)
    torch.testing.assert_close(found, functional.binary_cross_entropy(p, made.target))


def test_the_prior_is_the_bias_at_the_networks_end_and_classes_share_it():
    levels = FPI(FPISettings(width=1, anomalies={"levels": 4}, prior=0.2), 1, SIZE)
    p = levels.network.last.bias.softmax(dim=0)
    torch.testing.assert_close(p, torch.tensor([0.8, 0.05, 0.05, 0.05, 0.05]))
    for kind, settings in ((PII, PIISettings(width=1)), (NSA, NSASettings(width=4, pool=False))):
        detector = kind(settings.model_copy(update={"prior": 0.2}), 1, SIZE)
        torch.testing.assert_close(detector.network.last.bias.sigmoid(), torch.tensor([0.2]))
        plain = kind(settings.model_copy(update={"prior": None}), 1, SIZE)
        assert numbers(plain) == numbers(detector) - 1


def test_a_quantile_of_the_map_is_the_score_where_it_is_asked_for():
    settings = PIISettings(width=1, image_score="quantile", top_share=0.25)
    detector = PII(settings, 1, SIZE).eval()
    images = blobs(3, SIZE)
    valid = torch.ones(3, 1, *SIZE, dtype=torch.bool)
    valid[1, :, :5] = False
    found = detector.score(Batch(images, valid), None, maps=True)
    expected = [
        torch.quantile(one[where], 0.75) for one, where in zip(found.maps["anomaly"], valid, strict=True)
    ]
    torch.testing.assert_close(found.parts["anomaly"].values, torch.stack(expected))


@pytest.mark.parametrize(
    ("preset", "expected"), [("fpi-paper", 4_164_763), ("pii-paper", 4_164_763), ("nsa-paper", 11_491_440)]
)
def test_the_paper_presets_have_the_papers_networks(preset, expected):
    recipe = Recipe.load(preset)
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    assert numbers(detector) == expected
    assert detector.settings.image_score == "mean"
    made = detector.settings.anomalies
    assert (made.share, made.target) == (1, "logistic" if preset == "nsa-paper" else "alpha")


def test_abdomens_have_the_deeper_network_and_five_classes():
    settings = FPISettings(depth=19, anomalies={"levels": 4, "tolerance": 0.001})
    with torch.device("meta"):
        detector = FPI(settings, 1, (512, 512))
    assert detector.network(torch.zeros(1, 1, 512, 512, device="meta")).shape == (1, 5, 512, 512)
