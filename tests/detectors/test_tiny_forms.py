import time

import pytest
from in_memory import blobs, fit, score

from secondread.detectors import DETECTORS, find

FAMILIES = {"aeflow", "nsa", "padim", "rd4ad", "vae"}
"""One detector of each kind, whose forms are fitted in `make test` too; the laws fit every form anyway."""
FORMS = [
    pytest.param(name, rank, marks=[] if name in FAMILIES else [pytest.mark.slow])
    for name in DETECTORS
    for rank in sorted(find(name).ranks)
]


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


def test_a_rank_that_a_detector_does_not_take_is_refused_in_words():
    class Flat(find("spectrum")):
        ranks = frozenset({2})

    with pytest.raises(
        ValueError, match=r"'spectrum' takes rank \[2\], and the preprocessing gives images of"
    ):
        Flat(Flat.tiny(2).settings, 1, (8, 8, 8))
