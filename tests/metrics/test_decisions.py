import math

import numpy as np
import pytest
from sklearn import metrics as reference

from secondread.metrics.decisions import (
    at_threshold,
    decide,
    decision_intervals,
    flag_everything_f1,
    predictive_intervals,
    predictive_values,
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


def test_predictive_values_have_intervals_where_a_share_is_0_or_1():
    labels = np.arange(60) < 30
    table = decide(labels, labels)
    found = decision_intervals(labels, labels)
    positive, negative = predictive_intervals(
        (table.sensitivity, found["sensitivity"]), (table.specificity, found["specificity"]), 0.1
    )
    assert positive[1] == negative[1] == 1.0
    assert 0.4 < positive[0] < 0.6
    assert 0.97 < negative[0] < 0.99


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.8, 0.9), (0.95, 0.97)])
def test_intervals_of_predictive_values_hold_the_true_ones(sensitivity, specificity):
    random, hits = np.random.default_rng(0), np.zeros(2)
    labels = np.arange(140) < 60
    truth = predictive_values(sensitivity, specificity, 0.05)
    for _ in range(200):
        flags = np.where(labels, random.random(140) < sensitivity, random.random(140) > specificity)
        table, found = decide(labels, flags), decision_intervals(labels, flags)
        both = predictive_intervals(
            (table.sensitivity, found["sensitivity"]), (table.specificity, found["specificity"]), 0.05
        )
        for i, (value, (low, high)) in enumerate(zip((truth.positive, truth.negative), both, strict=True)):
            hits[i] += low <= value <= high
    assert (hits >= 188).all()


def test_the_interval_of_f1_holds_it_and_is_that_of_the_overlap():
    labels = np.arange(40) < 20
    flags = labels.copy()
    flags[[0, 1, 30]] = ~flags[[0, 1, 30]]
    low, high = decision_intervals(labels, flags)["f1"]
    assert low < decide(labels, flags).f1 < high
    nothing = decision_intervals(labels, np.zeros(40, bool))
    assert nothing["precision"] is None
    assert nothing["specificity"][0] < nothing["specificity"][1] == 1
