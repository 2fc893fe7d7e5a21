import math

import pytest
from scipy import special

from secondread.metrics.realised_rate import realised_range


@pytest.mark.parametrize("patients", [1, 19, 20, 244, 12_345, 1_000_000, 10_000_000])
@pytest.mark.parametrize("rate", [0.001, 0.05, 0.5, 0.9])
def test_its_ends_are_the_beta_distribution_s_quantiles(patients, rate):
    flagged = math.floor(rate * (patients + 1) + 1e-9)
    found = realised_range(rate, patients)
    if flagged == 0:
        assert found is None
        return
    assert found is not None
    for end, tail in zip(found, (0.025, 0.975), strict=True):
        assert special.betainc(flagged, patients + 1 - flagged, end) == pytest.approx(tail, rel=1e-7)
