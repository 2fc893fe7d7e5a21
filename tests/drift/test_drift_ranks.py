"""Online p-values are uniform and independent while nothing drifts, ties and all."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from secondread.drift import ranks as online
from secondread.drift.draws import draw
from secondread.drift.ranks import OnlineRanks, OnlineWords


@pytest.mark.parametrize("values", ["continuous", "tied"])
def test_p_values_are_uniform_and_independent_whatever_the_calibration_set(values: str) -> None:
    """Of the very last study given a calibration set of 30, and with its neighbour, over many sets."""
    rng = np.random.default_rng(0)
    last, before = [], []
    for stream in range(800):
        drawn = rng.gamma(2.0, size=40)
        drawn = np.round(drawn) if values == "tied" else drawn
        ranks = OnlineRanks(drawn[:30])
        u = [ranks.add(value, draw(stream, place)) for place, value in enumerate(drawn[30:])]
        last.append(u[-1])
        before.append(u[-2])
    assert stats.kstest(last, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(last, before)[0, 1]) < 0.1


def test_fixed_calibration_sets_would_give_rates_that_differ_and_online_ones_do_not() -> None:
    """With 50 calibration scores each, and 300 studies: the variance of the share below 0.1 over streams."""
    rng = np.random.default_rng(1)
    fixed, online = [], []
    for stream in range(80):
        drawn = rng.normal(size=350)
        calibration = np.sort(drawn[:50])
        p_values = (51 - np.searchsorted(calibration, drawn[50:])) / 51
        fixed.append((p_values <= 0.1).mean())
        ranks = OnlineRanks(calibration)
        u = [ranks.add(value, draw(stream, place)) for place, value in enumerate(drawn[50:])]
        online.append(float(np.mean(np.array(u) <= 0.1)))
    independent = 0.1 * 0.9 / 300
    assert np.var(fixed) > 4 * independent
    assert np.var(online) < 1.7 * independent


def test_words_are_uniform_too_and_a_new_one_stands_out() -> None:
    rng = np.random.default_rng(2)
    found = []
    for stream in range(500):
        words = OnlineWords()
        u = [
            words.add(word, draw(stream, place))
            for place, word in enumerate(rng.choice(["PA", "AP", "LL"], p=[0.7, 0.25, 0.05], size=25))
        ]
        found.append(u[-1])
    assert stats.kstest(found, "uniform").pvalue > 0.01
    words = OnlineWords({"PA": 900, "AP": 100})
    assert words.add("L\u00c4T", 0.9) < 0.001


def test_a_value_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not a number"):
        OnlineRanks().add(float("nan"), 0.5)


def test_blocks_change_no_p_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online, "_MOST", 6)
    drawn = np.append(np.round(np.random.default_rng(3).normal(size=200), 1), [-np.inf] * 9)
    ranks = OnlineRanks(drawn[:30])
    for place, value in enumerate(drawn[30:], start=31):
        known = drawn[:place]
        assert ranks.add(value, 0.3) == ((known > value).sum() + 0.3 * (known == value).sum()) / place
    assert list(ranks.values) == sorted(drawn)
