"""What every detector must obey on a CUDA GPU. Without one these tests are skipped."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from tiny_fits import CASES, STUBS, fit, scores_of

from secondread.calibration.raw_scores import RawScores
from secondread.detectors.contract import Detector

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")

OURS = [(name, rank) for name, rank in CASES if name not in STUBS]
every_detector = pytest.mark.parametrize(("name", "rank"), OURS, ids=[f"{n}-{r}d" for n, r in OURS])
TOLERANCE = 0.02
"""Between a GPU's and a CPU's scores of one fitted detector, as a share of the part's size: a GPU rounds what
its convolutions multiply to ten bits (TF32)."""


@pytest.fixture(scope="module")
def fitted(data) -> Callable[[str, int], Detector]:
    @cache
    def of(name: str, rank: int) -> Detector:
        return fit(name, rank, data(name, rank), device="cuda")

    return of


def assert_near(one: RawScores, other: RawScores) -> None:
    for name, values in one.parts.items():
        scale = np.abs(values).max() + 1e-6
        np.testing.assert_allclose(other.parts[name] / scale, values / scale, atol=TOLERANCE, err_msg=name)
    for name, values in (one.maps or {}).items():
        scale = np.abs(values).max() + 1e-6
        difference = np.abs(other.maps[name] - values).mean() / scale
        assert difference <= TOLERANCE, (name, difference)


@every_detector
def test_it_fits_and_scores_on_a_gpu_and_gives_equal_scores_again(name, rank, data, fitted):
    source = data(name, rank)["new"]
    first, again = (scores_of(fitted(name, rank), source, device="cuda") for _ in range(2))
    assert first.finite.all()
    for part, values in first.parts.items():
        np.testing.assert_array_equal(again.parts[part], values, err_msg=part)


@every_detector
def test_what_a_gpu_fitted_is_scored_alike_by_a_cpu(name, rank, data, fitted):
    source = data(name, rank)["new"]
    on_gpu = scores_of(fitted(name, rank), source, device="cuda")
    assert_near(scores_of(fitted(name, rank), source), on_gpu)


@every_detector
def test_it_fits_and_scores_on_a_gpu_in_bfloat16(name, rank, data):
    detector = fit(name, rank, data(name, rank), device="cuda", precision="bf16")
    assert scores_of(detector, data(name, rank)["new"], "bf16", device="cuda").finite.all()
