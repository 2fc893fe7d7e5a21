"""`glow-posterior` with residual flows in place of Glows: the settings' kinds, learning, scores, maps."""

import pytest
import torch
from in_memory import blobs, fit, score
from pydantic import ValidationError

from secondread.detectors.blocks.glow_settings import GlowPosteriorSettings
from secondread.detectors.blocks.image_flow.architecture import GlowFlowSettings, ResidualFlowSettings
from secondread.detectors.flows.glow_posterior import GlowPosterior
from secondread.flows.residual.residual_flow import ResidualFlow

SIZES = {2: (16, 16), 3: (8, 8, 8)}
FLOW = {"name": "residual", "levels": 2, "depth": 1, "width": 8}


def make(rank=2, **changes):
    settings = GlowPosteriorSettings.model_validate({"flow": FLOW, **changes})
    return GlowPosterior(settings, 1, SIZES[rank])


@pytest.mark.parametrize("rank", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_it_learns_and_a_score_does_not_depend_on_the_batch(rank):
    detector, shape = make(rank, draws=2), SIZES[rank]
    others = {"unlabelled": blobs(12, shape, seed=3, lesion=True)}
    history = fit(detector, blobs(12, shape), steps=16, batch_size=6, **others)
    for losses in (history["normal"], history["mixture"]):
        assert sum(losses[-3:]) < sum(losses[:3])
    images = blobs(4, shape, seed=5)
    together, alone = score(detector, images), score(detector, images[:1])
    assert set(together.parts) == {
        "posterior",
        "likelihood",
        "mixture_likelihood",
        "typicality",
        "background",
    }
    for name, part in together.parts.items():
        torch.testing.assert_close(part.values[:1], alone.parts[name].values, atol=1e-4, rtol=1e-4)
    anomaly_map = together.maps["posterior"]
    means = anomaly_map.double().flatten(1).mean(dim=1)
    torch.testing.assert_close(means, together.parts["posterior"].values, atol=1e-5, rtol=1e-4)
    assert detector.notes() == ()


def test_both_models_are_given_the_same_random_numbers():
    """So that two equal models have a log posterior of zero, whatever was drawn."""
    detector = make()
    detector.second.load_state_dict(detector.normal.state_dict())
    assert not score(detector.eval(), blobs(3, SIZES[2])).parts["posterior"].values.any()


def test_the_gradient_map_and_fictional_images_and_lines_between_images():
    detector = make(second="none", score="likelihood", map="gradient")
    images = blobs(6, SIZES[2])
    fit(detector, images, steps=2)
    assert bool((score(detector, images[:2]).maps["gradient"] > 0).any())
    drawn = detector.sample(2, torch.Generator().manual_seed(0))
    assert drawn.shape == (2, 1, *SIZES[2])
    line = detector.interpolate(images[0], images[1], 3)
    levels = (images[:2] * 255).round() / 255
    torch.testing.assert_close(line[[0, 2]], levels, atol=2 / 255, rtol=0)


def test_a_flow_is_named_and_settings_of_before_name_none():
    named = GlowPosteriorSettings.model_validate({"flow": "residual"})
    assert named.flow == ResidualFlowSettings()
    assert isinstance(named.flow.build(1, (32, 32)), ResidualFlow)
    before = GlowPosteriorSettings.model_validate({"flow": {"levels": 2, "depth": 1, "width": 16}})
    assert before.flow == GlowFlowSettings(levels=2, depth=1, width=16)
    again = GlowPosteriorSettings.model_validate(named.model_dump())
    assert again == named


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        ({"name": "residul"}, "no flow of images 'residul'"),
        ({"name": "residual", "scale": "glow"}, "scale"),
        ({"name": "residual", "rate": 1.0}, "chance below 1"),
        ({"name": "residual", "coefficient": 1.0}, "less than 1"),
    ],
)
def test_what_does_not_fit_is_refused(flow, message):
    with pytest.raises(ValidationError, match=message):
        GlowPosteriorSettings.model_validate({"flow": flow})
