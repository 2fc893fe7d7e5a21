import numpy as np
import pytest
from scipy.stats import beta, binomtest

from secondread.calibration.conformal import Conformal
from secondread.metrics.planning.rates import patients_for_promise, patients_for_share
from secondread.metrics.realised_rate import realised_range


@pytest.mark.parametrize(("share", "width"), [(0.9, 0.1), (0.5, 0.2), (1.0, 0.1), (0.8, 0.15)])
def test_a_share_needs_the_patients_that_make_its_exact_interval_so_narrow(share, width):
    needed = patients_for_share(share, width)
    found = [n for n in range(2, 2 * needed) if np.isclose(share * n, round(share * n))]
    widths = {n: np.ptp(binomtest(round(share * n), n).proportion_ci(method="exact")) for n in found}
    enough = min(n for n, wide in widths.items() if wide <= width)
    assert needed <= enough <= needed + 10  # a share of 0.9 is whole at every tenth number alone


@pytest.mark.parametrize(("rate", "at_most"), [(0.05, 0.08), (0.1, 0.15), (0.01, 0.03)])
def test_a_promise_needs_the_patients_that_keep_the_realised_rate_low(rate, at_most):
    patients = patients_for_promise(rate, at_most)
    flagged = round(rate * (patients + 1))
    assert beta(flagged, patients + 1 - flagged).ppf(0.975) <= at_most
    fewer = round((flagged - 1) / rate) - 1
    assert realised_range(rate, fewer) is None or realised_range(rate, fewer)[1] > at_most


def test_so_many_patients_do_keep_it():
    patients = patients_for_promise(0.1, 0.2)
    random, above = np.random.default_rng(0), 0
    for _ in range(400):
        normals = random.random(patients)
        threshold = Conformal.fit(normals, [None] * patients).threshold(0.1)
        above += 1 - threshold > 0.2  # scores are uniform: what lies above is the realised rate
    assert above / 400 < 0.045


def test_a_highest_rate_below_the_promised_one_is_refused():
    with pytest.raises(ValueError, match="must lie above the promised"):
        patients_for_promise(0.05, 0.04)
    with pytest.raises(ValueError, match="width"):
        patients_for_share(0.9, 1.5)
