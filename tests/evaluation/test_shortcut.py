import numpy as np
import pytest

from secondread.evaluation.cases import Case
from secondread.evaluation.estimates import Resampling
from secondread.evaluation.shortcut import check_shortcuts, facts_table
from secondread.readings.reading import Reading

HOW = Resampling(100, 0)


def cases_with(scores, labels):
    return [
        Case(str(i), str(i), bool(label), Reading(str(i), score=float(score)), patient=f"p{i // 2}")
        for i, (score, label) in enumerate(zip(scores, labels, strict=True))
    ]


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_a_size_that_gives_the_label_away_is_found(random):
    labels = np.repeat([False, True], 40)
    cases = cases_with(random.normal(size=80), labels)
    facts = {case.path: {"rows": str(512 if case.abnormal else 500 + i % 9)} for i, case in enumerate(cases)}
    found = check_shortcuts(cases, facts, {}, HOW)
    assert found.label.value > 0.95
    assert found.strongest[0][0] == "rows"


def test_acquisition_that_says_nothing_is_near_chance(random):
    labels = np.repeat([False, True], 80)
    cases = cases_with(random.normal(size=160), labels)
    facts = {case.path: {"file_bytes": str(random.integers(1000, 2000))} for case in cases}
    assert 0.3 < check_shortcuts(cases, facts, {}, HOW).label.value < 0.7


def test_a_score_that_reads_the_file_size_is_found_among_normals(random):
    size = random.integers(1000, 9000, 120)
    cases = cases_with(size + random.normal(0, 300, 120), np.repeat([False, True], 60))
    facts = {case.path: {"file_bytes": str(size[i])} for i, case in enumerate(cases)}
    found = check_shortcuts(cases, facts, {}, HOW)
    assert found.follows.value > 0.8
    assert found.r_squared > 0.6


def test_thumbnails_that_show_the_label_give_a_high_ceiling(random):
    labels = np.repeat([False, True], 40)
    cases = cases_with(random.normal(size=80), labels)
    pictures = {
        case.path: (random.normal(size=(16, 16)) + 0.5 * case.abnormal).astype(np.float32) for case in cases
    }
    assert check_shortcuts(cases, {}, pictures, HOW).thumbnail.value > 0.9


def test_no_facts_give_reasons_not_errors(random):
    found = check_shortcuts(cases_with(random.normal(size=30), [False, True] * 15), {}, {}, HOW)
    assert found.label.value is None
    assert "acquisition.csv" in found.label.reason
    assert "thumbnails.npz" in found.thumbnail.reason


def test_words_become_columns_and_constants_vanish():
    rows = [
        {"mode": "RGBA", "rows": "512", "kvp": ""},
        {"mode": "RGB", "rows": "512", "kvp": "120"},
        {"mode": "RGB"},
    ]
    names, table = facts_table(rows)
    assert names == ["kvp", "mode = RGB", "mode = RGBA", "rows"]
    assert np.isnan(table[0, 0])
    assert table[:, 2].tolist() == [1, 0, 0]
