import time
from functools import cache

import numpy as np
import pytest
import torch
from in_memory import blobs, fit, score

from secondread.bundles.fitted import plan_fitted
from secondread.bundles.tensors import form_of
from secondread.detectors import DETECTORS, find
from secondread.scoring.scorer import Scorer

FORMS = [(name, rank) for name in DETECTORS for rank in sorted(find(name).ranks)]


@cache
def fitted(name, rank):
    """The tiny form after three steps of each stage."""
    form = find(name).tiny(rank)
    detector = find(name)(form.settings, form.channels, form.size)
    fit(detector, blobs(8, form.size, channels=form.channels), steps=3, batch_size=4)
    return detector


@pytest.mark.parametrize(("name", "rank"), FORMS)
def test_a_tiny_form_fits_and_scores_within_three_seconds(name, rank):
    form = find(name).tiny(rank)
    assert max(form.size) <= 32
    started = time.process_time()
    detector = fitted(name, rank)
    assert {stage.section for stage in detector.stages()} == set(form.stages)
    scores = score(detector, blobs(3, form.size, seed=1, channels=form.channels))
    assert set(detector.mixture().weights) <= set(scores.parts)
    if detector.map_mixture() is not None:
        assert set(detector.map_mixture().weights) <= set(scores.maps)
    assert all(part.values.shape == (3,) for part in scores.parts.values())
    assert time.process_time() - started < 3


@pytest.mark.parametrize(("name", "rank"), FORMS)
def test_the_whole_fitted_state_is_in_the_state_dict_in_the_forms_that_a_bundle_is_checked_for(name, rank):
    form = find(name).tiny(rank)
    detector, images = fitted(name, rank), blobs(8, form.size, channels=form.channels)
    torch.manual_seed(99)
    again = find(name)(form.settings, form.channels, form.size, pretrained=False)
    again.load_fitted(detector.state_dict()).eval()
    plan_fitted(
        lambda: find(name)(form.settings, form.channels, form.size, pretrained=False),
        {key: form_of(tensor) for key, tensor in detector.state_dict().items()},
    )
    rows = {key for key, axes in detector.grows.items() if len(axes) > 1 and str(axes[0]).endswith("n")}
    told = {key for key in rows if not key.endswith(("there", "distances_fit_X_"))}
    assert told <= detector.keeps.keys() <= detector.state_dict().keys()
    found, expected = (scores_of(one, images) for one in (again, detector))
    for part, values in expected.items():
        np.testing.assert_array_equal(found[part], values, err_msg=part)


def scores_of(detector, images):
    """The parts, as everything that scores gets them."""
    digests = [f"{number:032x}" for number in range(len(images))]
    return Scorer(detector, precision="float32").batch(images.numpy(), None, digests, maps=False).parts


def test_a_rank_that_a_detector_does_not_take_is_refused_in_words():
    class Flat(find("spectrum")):
        ranks = frozenset({2})

    with pytest.raises(
        ValueError, match=r"'spectrum' takes rank \[2\], and the preprocessing gives images of"
    ):
        Flat(Flat.tiny(2).settings, 1, (8, 8, 8))
