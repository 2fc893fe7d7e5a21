import numpy as np
import pytest
from scipy import stats

from secondread.metrics.ranks import holm, spearman


def test_rank_correlation_equals_scipy():
    random = np.random.default_rng(0)
    a, b = random.integers(0, 9, 50), random.normal(size=50)
    assert spearman(a, b).rho == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    assert spearman(a, np.exp(a)).rho == pytest.approx(1.0)


@pytest.mark.parametrize("pair", [([1, 1, 1], [1, 2, 3]), ([1, 2], [1, 2]), ([1, np.nan, 2], [1, 2, 3])])
def test_what_has_no_rank_correlation_is_refused(pair):
    with pytest.raises(ValueError, match=r"rank correlation|length"):
        spearman(*pair)


def test_holm_steps_down():
    # the example of Holm's procedure for m = 4: 4 p1, 3 p2, 2 p3, p4, made monotone
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02], atol=1e-12)
    np.testing.assert_allclose(holm([0.9, 0.8]), [1.0, 1.0])
    assert holm([]).size == 0
