import numpy as np
import pytest

from secondread.calibration.calibration import Calibration
from secondread.calibration.raw_scores import RawScores
from secondread.detectors.contract import Mixture
from secondread.errors import DataError
from secondread.exporting.agreement import agreement, refuse_disagreement

IMAGES = np.random.default_rng(0).random((6, 1, 8, 8), dtype=np.float32)
DIGESTS = ["00" * 32] * len(IMAGES)


def said(values: np.ndarray) -> RawScores:
    return RawScores({"score": values.astype(np.float64)}, {"score": "upper"})


def mean(images, valid, digests) -> RawScores:
    return said(images.mean((1, 2, 3)))


def shifted(by: float):
    return lambda images, valid, digests: said(images.mean((1, 2, 3)) + by)


@pytest.fixture
def calibration() -> Calibration:
    normals = said(np.linspace(0.4, 0.6, 40))
    return Calibration.fit(normals, normals, mixture=Mixture({"score": 1.0}, scaled=False))


def test_equal_scores_agree(calibration):
    found = agreement(mean, mean, calibration, IMAGES, None, DIGESTS)
    assert found.difference == 0
    assert found.agrees
    refuse_disagreement(found, "mine")


def test_a_difference_beyond_a_ten_thousandth_of_the_spread_is_refused_with_the_figure(calibration):
    found = agreement(mean, shifted(1e-3), calibration, IMAGES, None, DIGESTS)
    assert found.in_spreads == pytest.approx(1e-3 / found.spread, rel=1e-3)
    with pytest.raises(
        DataError, match=r"detector 'mine': nothing was exported.*at most 0\.0\d+ of the spread"
    ):
        refuse_disagreement(found, "mine")


def test_what_torch_itself_moves_by_is_permitted_and_told(calibration):
    def unstable(images, valid, digests):
        return said(np.float32(1e5) * (images.mean((1, 2, 3)) - np.float32(0.5)))

    by_torch = unstable(IMAGES, None, DIGESTS).parts["score"]
    found = agreement(unstable, lambda *_: said(by_torch + 1e-3), calibration, IMAGES, None, DIGESTS)
    assert found.own > 1e-3
    assert found.agrees
    assert "torch's own move by" in str(found)


def test_a_score_that_is_not_finite_is_no_agreement(calibration):
    with pytest.raises(DataError, match="not finite"):
        agreement(mean, lambda *_: said(np.full(6, np.nan)), calibration, IMAGES, None, DIGESTS)
