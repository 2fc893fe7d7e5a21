import math

import numpy as np
import pytest
from sklearn import metrics as reference

from secondread.metrics.decisions import (
    at_threshold,
    decide,
    flag_everything_f1,
    predictive_values,
    weighted_decisions,
)


def test_table_equals_scikit_learn():
    random = np.random.default_rng(3)
    labels = random.random(200) < 0.3
    scores = labels + random.normal(size=200)
    table, flags = at_threshold(labels, scores, 0.7), scores >= 0.7
    assert table.sensitivity == pytest.approx(reference.recall_score(labels, flags), abs=1e-12)
    assert table.specificity == pytest.approx(reference.recall_score(~labels, ~flags), abs=1e-12)
    assert table.precision == pytest.approx(reference.precision_score(labels, flags), abs=1e-12)
    assert table.f1 == pytest.approx(reference.f1_score(labels, flags), abs=1e-12)
    assert table.accuracy == pytest.approx(reference.accuracy_score(labels, flags), abs=1e-12)
    weighted = weighted_decisions(labels, flags, np.ones((1, 200)))
    for name, values in weighted.items():
        assert values[0] == pytest.approx(getattr(table, name), abs=1e-12)


def test_a_score_at_the_threshold_is_flagged():
    assert at_threshold([0, 1], [0.0, 1.0], 1.0).true_positives == 1


def test_shares_of_nothing_are_nan_and_a_threshold_of_infinity_flags_nothing():
    table = at_threshold([0, 1], [0.0, 1.0], math.inf)
    assert math.isnan(table.precision)
    assert table.f1 == 0.0
    assert table.specificity == 1.0
    assert math.isnan(decide([0, 0], [0, 1]).sensitivity)


def test_flagging_everything_has_the_f1_of_the_share_of_abnormal_images():
    labels = np.arange(624) < 390
    assert flag_everything_f1(labels) == pytest.approx(reference.f1_score(labels, np.ones(624)), abs=1e-12)


def test_predictive_values_equal_those_of_a_table_at_its_own_prevalence():
    table = decide([1] * 10 + [0] * 90, [1] * 8 + [0] * 2 + [1] * 9 + [0] * 81)
    values = predictive_values(table.sensitivity, table.specificity, 0.1)
    assert values.positive == pytest.approx(8 / 17, abs=1e-12)
    assert values.negative == pytest.approx(81 / 83, abs=1e-12)
    rare = predictive_values(0.9, 0.9, 0.001)
    assert rare.positive < 0.01
