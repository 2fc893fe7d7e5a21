import numpy as np
import pytest

from secondread.evaluation import shortcut
from secondread.evaluation.estimates import Resampling
from secondread.evaluation.shortcut import check_shortcuts, facts_table

HOW = Resampling(100, 0)


def check(scores, labels, facts, pictures):
    """Two images of each patient; facts and pictures in the images' order, or none."""
    paths = [str(number) for number in range(len(scores))]
    told, shown = (dict(zip(paths, given, strict=bool(given))) for given in (facts, pictures))
    whose = np.arange(len(paths)) // 2
    return check_shortcuts(paths, np.asarray(labels, bool), whose, np.asarray(scores), told, shown, HOW)


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_a_size_that_gives_the_label_away_is_found(random):
    labels = np.repeat([False, True], 40)
    facts = [{"rows": str(512 if label else 500 + i % 9)} for i, label in enumerate(labels)]
    found = check(random.normal(size=80), labels, facts, [])
    assert found.label.value > 0.95
    assert found.strongest[0][0] == "rows"


def test_acquisition_that_says_nothing_is_near_chance(random):
    labels = np.repeat([False, True], 80)
    scores = random.normal(size=160)
    facts = [{"file_bytes": str(random.integers(1000, 2000))} for _ in labels]
    assert 0.3 < check(scores, labels, facts, []).label.value < 0.7


def test_a_score_that_reads_the_file_size_is_found_among_normals(random):
    size = random.integers(1000, 9000, 120)
    facts = [{"file_bytes": str(each)} for each in size]
    found = check(size + random.normal(0, 300, 120), np.repeat([False, True], 60), facts, [])
    assert found.follows.value > 0.8
    assert found.r_squared > 0.6


@pytest.mark.parametrize("most", [20_000, 30])
def test_thumbnails_that_show_the_label_give_a_high_ceiling(random, most, monkeypatch):
    monkeypatch.setattr(shortcut, "MOST_LEARNED", most)
    labels = np.repeat([False, True], 40)
    scores = random.normal(size=80)
    pictures = [(random.normal(size=(16, 16)) + 0.5 * label).astype(np.float32) for label in labels]
    assert check(scores, labels, [], pictures).thumbnail.value > 0.9


def test_no_facts_give_reasons_not_errors(random):
    found = check(random.normal(size=30), [False, True] * 15, [], [])
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
