"""Worked examples that others have published, data and result."""

import numpy as np
import pytest

from secondread.metrics.delong import delong, delong_means, delong_test
from secondread.metrics.ranks import holm
from secondread.metrics.roc import area_to_limit, roc_curve

# 113 patients with subarachnoid haemorrhage, by outcome and clinical grade (WFNS): S100B in 0.01 ug/l.
# N. Turck et al., Intensive Care Medicine 36 (2010) 107-115, published as the example data (aSAH) of
# X. Robin et al., pROC, BMC Bioinformatics 12 (2011) 77.
POOR_OUTCOME = {
    1: "7 8",
    2: "7 7 9 9 10 10 11 14 25 30 41 58",
    3: "13",
    4: "13 16 23 26 27 48 71 96",
    5: "3 12 22 32 33 35 44 44 49 52 56 70 71 74 77 82 86 207",
}
GOOD_OUTCOME = {
    1: "4 4 4 4 5 5 6 6 7 7 7 7 8 8 8 8 9 9 9 9 10 10 10 10 11 11 13 13 14 14 14 15 16 18 19 48 50",
    2: "4 7 8 8 9 9 10 10 10 11 11 13 14 15 15 15 16 17 19 43",
    3: "5 7 33",
    4: "16 17 28 32 34 38 45 47",
    5: "24 46 47 50",
}


def partial_area(labels, scores, limit):
    """The mean sensitivity up to a false-positive rate of `limit`."""
    curve = roc_curve(labels, scores)
    return area_to_limit(curve.false_positive_rate, curve.sensitivity, limit)


def haemorrhage():
    rows = [
        (poor, grade, int(value))
        for poor, grades in ((True, POOR_OUTCOME), (False, GOOD_OUTCOME))
        for grade, values in grades.items()
        for value in values.split()
    ]
    poor, grade, protein = zip(*rows, strict=True)
    return np.array(poor), np.array(grade, float), np.array(protein, float)


def test_delong_equals_proc_on_its_example_data():
    # expected values of pROC's own tests: test-roc.test.R, test-var.R, test-cov.R, test-auc.R
    labels, grade, protein = haemorrhage()
    result = delong_test(labels, grade, protein)
    assert result.z == pytest.approx(2.20898359144091, abs=1e-12)
    assert result.p_value == pytest.approx(0.0271757822291882, abs=1e-12)
    expected = [[0.00146991470882363, 0.00119615567376754], [0.00119615567376754, 0.00266868245717244]]
    np.testing.assert_allclose(result.covariance, expected, atol=1e-15)
    np.testing.assert_allclose(delong_means(labels, [[grade], [protein]])[1], expected, atol=1e-15)
    assert result.auroc[0] == pytest.approx(0.823678861788618, abs=1e-12)
    reach = 1.959963984540054 * result.difference / result.z
    assert result.difference - reach == pytest.approx(0.0104061769564846, abs=1e-12)
    assert result.difference + reach == pytest.approx(0.174214419249478, abs=1e-12)
    assert delong(labels, protein).variance == pytest.approx(0.00266868245717244, abs=1e-15)


def test_partial_area_equals_proc_on_its_example_data():
    labels, grade, _ = haemorrhage()
    assert 0.1 * partial_area(labels, grade, 0.1) == pytest.approx(0.0334417344173442, abs=1e-12)


@pytest.mark.parametrize(
    ("given", "adjusted"),
    [
        # documentation of pingouin.multicomp (https://pingouin-stats.org), method "holm"
        ([0.50, 0.003, 0.32, 0.054, 0.0003], [0.64, 0.012, 0.64, 0.162, 0.0015]),
        # documentation of @stdlib/stats-padjust (https://stdlib.io), method "holm", to three digits
        ([0.319, 0.201, 0.4, 0.374, 0.113], [0.957, 0.804, 0.957, 0.957, 0.565]),
    ],
)
def test_holm_equals_published_examples(given, adjusted):
    np.testing.assert_allclose(holm(given), adjusted, atol=1e-12)
