import pytest
import torch
from in_memory import blobs, score, train_on
from pydantic import ValidationError

from secondread.detectors.contract import Batch
from secondread.detectors.detector_settings import OptimiserSettings, StageSettings
from secondread.detectors.flows.feature_posterior import FeaturePosterior, FeaturePosteriorSettings


def posterior(**changes):
    settings = {
        "encoder": {"name": "squeezenet1_1", "weights": "random"},
        "strides": [4, 8],
        "features": {"standardise": "channel", "projection": 8},
        "flow": {"blocks": 2, "hidden": 16},
        **changes,
    }
    return FeaturePosterior(FeaturePosteriorSettings.model_validate(settings), 1, (32, 32))


def train(detector, normal, unlabelled, steps=40, lr=5e-3):
    settings = StageSettings(steps=steps, batch_size=8, optimiser=OptimiserSettings(lr=lr))
    cohorts = {"normal": normal, "unlabelled": unlabelled}
    return train_on(detector, cohorts, {"normal": settings, "mixture": settings})


def test_parts_are_the_two_likelihoods_and_their_difference():
    detector, images = posterior(), blobs(3, (32, 32))
    with torch.no_grad():
        for parameter in detector.mixed.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        h = detector.normalisation(detector.maps.on_grid(detector.maps(images), 0))
        assert h.shape == (3, 8, 7, 7)
        nats = [-flow.log_density(h) / (8 * 7 * 7) for flow in (detector.normal, detector.mixed)]
    parts = {name: part.values for name, part in score(detector, images).parts.items()}
    torch.testing.assert_close(parts["likelihood"], nats[0])
    torch.testing.assert_close(parts["mixture_likelihood"], nats[1])
    torch.testing.assert_close(parts["posterior"], nats[0] - nats[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("image_score", ["max", "top"])
def test_parts_are_pooled_over_valid_positions(image_score):
    detector, images = posterior(image_score=image_score, top_share=0.25), blobs(2, (32, 32))
    valid = torch.ones(2, 1, 32, 32, dtype=torch.bool)
    valid[..., 16:] = False
    with torch.no_grad():
        h = detector.normalisation(detector.maps.on_grid(detector.maps(images), 0))
        nats = -detector.normal.log_density_map(h) / 8
    seen = [
        row[where].sort(descending=True).values
        for row, where in zip(nats, detector._valid(Batch(images, valid)), strict=True)
    ]
    count = 1 if image_score == "max" else -(-len(seen[0]) // 4)
    expected = torch.stack([row[:count].mean() for row in seen])
    torch.testing.assert_close(score(detector, images, valid).parts["likelihood"].values, expected)


def test_before_training_both_flows_are_one_and_the_posterior_is_zero():
    found = score(posterior(), blobs(2, (32, 32)))
    assert not found.parts["posterior"].values.any()
    assert not found.maps["posterior"].any()


@pytest.mark.parametrize("start", ["same", "trained"])
def test_the_second_flow_starts_where_the_setting_says(start):
    torch.manual_seed(0)
    detector, images = posterior(start=start), blobs(8, (32, 32))
    at_first = posterior(start=start)
    at_first.load_state_dict(detector.state_dict())
    first, second = detector.stages()
    train_on(
        detector,
        {"normal": images, "unlabelled": images},
        {
            "normal": StageSettings(steps=3),
            "mixture": StageSettings(steps=1, optimiser=OptimiserSettings(lr=1e-12)),
        },
    )
    assert first.on == {"normal": 1.0}
    assert second.on == {"unlabelled": 1.0}
    expected = detector.normal if start == "trained" else at_first.normal
    for own, other in zip(detector.mixed.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(own, other, atol=1e-6, rtol=0)


def test_lesions_of_the_mixture_raise_the_posterior_where_they_lie():
    unlabelled = torch.cat((blobs(24, (32, 32), seed=1), blobs(24, (32, 32), seed=2, lesion=True)))
    detector = posterior(strides=[4])
    train(detector, blobs(48, (32, 32)), unlabelled)
    healthy, ill = (score(detector, blobs(12, (32, 32), seed=9, lesion=lesion)) for lesion in (False, True))
    assert (ill.parts["posterior"].values > healthy.parts["posterior"].values.max()).float().mean() > 0.8
    change = (ill.maps["posterior"] - healthy.maps["posterior"]).mean(dim=0)[0]
    assert change[14:24, 14:24].mean() > 2 * change[:8, :8].mean().abs()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="there are 2 levels"):
        posterior(grid=2)
    with pytest.raises(ValidationError, match="near the identity"):
        FeaturePosteriorSettings.model_validate({"features": {"standardise": "none"}})
