import pytest
import torch
from in_memory import blobs, fit
from torch.nn import functional

from secondread.anomalies.anomaly import Anomalies
from secondread.detectors.contract import Batch
from secondread.detectors.self_supervised.anomaly_unet import AnomalyUNet, AnomalyUNetSettings

SIZE = (16, 16)


def make(**changes):
    form = AnomalyUNet.tiny(2)
    settings = AnomalyUNetSettings.model_validate({**form.settings.model_dump(), **changes})
    return AnomalyUNet(settings, 1, SIZE).eval()


def test_the_loss_is_cross_entropy_with_the_target_and_a_soft_dice_over_the_batch():
    detector = make(dice=2.0)
    logits = torch.randn(3, 1, *SIZE, generator=torch.Generator().manual_seed(0))
    target = torch.zeros(3, 1, *SIZE)
    target[0, :, 4:8, 4:8] = 0.7
    valid = torch.ones(3, 1, *SIZE, dtype=torch.bool)
    valid[..., :2] = False
    made = Anomalies(torch.zeros(3, 1, *SIZE), target > 0, target)
    found = detector.segmentation_loss(logits, made, valid)
    inside = logits[valid], target[valid]
    p = inside[0].sigmoid()
    dice = (2 * (p * inside[1]).sum() + 1) / (p.sum() + inside[1].sum() + 1)
    expected = functional.binary_cross_entropy_with_logits(*inside) + 2 * (1 - dice)
    torch.testing.assert_close(found, expected)
    plain = make(dice=0.0).segmentation_loss(logits, made, valid)
    torch.testing.assert_close(plain, functional.binary_cross_entropy_with_logits(*inside))


def test_anomalies_and_score_keep_to_the_foreground():
    detector = make(foreground=0.5, image_score="mean", anomalies={"name": "blobs", "share": 1.0})
    images = blobs(4, SIZE)
    images[..., :8] = 0
    made = detector.drawn(Batch(images), torch.Generator().manual_seed(0))
    foreground = images > 0.5
    assert made.changed.any()
    assert torch.equal(made.images[~foreground], images[~foreground])
    scores = detector.score(Batch(images), None, maps=True)
    shown = scores.maps["anomaly"]
    assert (shown[~foreground] == 0).all()
    expected = torch.stack([one[where].mean() for one, where in zip(shown, foreground, strict=True)])
    torch.testing.assert_close(scores.parts["anomaly"].values, expected)
    assert detector.score(Batch(torch.zeros(1, 1, *SIZE)), None, maps=False).parts["anomaly"].values == 0


def test_a_held_out_image_without_another_stays_as_it_is_where_the_kind_takes_from_others():
    detector = make(anomalies={"name": "fpi", "share": 1.0})
    made = detector.drawn(Batch(blobs(1, SIZE)), torch.Generator().manual_seed(0))
    assert not made.changed.any()


def test_it_learns_what_is_drawn_and_says_where_it_has_not():
    detector = make(anomalies={"name": "blobs", "share": 0.7, "contrast": (2, 3)}, width=8)
    held_out = [Batch(blobs(12, SIZE, seed=5))]
    before = detector.examine(iter(held_out), torch.Generator().manual_seed(0))
    assert before["lower bound"] < 0.6
    (warning,) = detector.warnings()
    assert "hardly finds what is drawn" in warning
    fit(detector, blobs(64, SIZE), steps=40, batch_size=16)
    after = detector.examine(iter(held_out), torch.Generator().manual_seed(0))
    assert after["AUROC of drawn anomalies"] > 0.8
    assert not detector.warnings()


def test_it_starts_with_the_prior_everywhere_or_with_about_a_half():
    images = blobs(2, SIZE)
    torch.manual_seed(0)
    assert make(prior=0.02).anomaly_map(images).mean().item() == pytest.approx(0.02, abs=0.015)
    assert make(prior=None).anomaly_map(images).mean().item() == pytest.approx(0.5, abs=0.25)


def test_sizes_that_the_network_does_not_take_are_refused():
    with pytest.raises(ValueError, match="multiples"):
        AnomalyUNet(AnomalyUNetSettings(), 1, (20, 20))
