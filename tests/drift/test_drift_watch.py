"""What alarms, what does not, and that a restart changes nothing."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from scipy import integrate, stats

from secondread.drift.cusum import Cusum, limit_for, run_length
from secondread.drift.evidence import KINDS, Evidence, bets
from secondread.drift.flags import highest_rate
from secondread.drift.plan import Plan
from secondread.drift.told import remedy, sentence
from secondread.drift.watch import Change, Study, Watch

FACTS = ("kvp", "view")


def studies(rng: np.random.Generator, count: int, begin: int = 0, **changed: float) -> list[Study]:
    scores = rng.normal(changed.get("mean", 0.0), changed.get("deviation", 1.0), count)
    kvp = rng.normal(changed.get("kvp", 80.0), 3, count)
    views = rng.choice(
        ["PA", "AP"], p=[0.9 - changed.get("ap", 0.0), 0.1 + changed.get("ap", 0.0)], size=count
    )
    rough = rng.normal(changed.get("rough", 0.0), 1, count)
    return [
        Study(
            str(begin + place),
            float(scores[place]),
            float(1 - stats.norm.cdf(scores[place])),
            {"kvp": float(kvp[place]), "view": str(views[place])},
            {"roughness": float(rough[place])},
        )
        for place in range(count)
    ]


def plan(**changes: object) -> Plan:
    known = {"facts": FACTS, "features": ("roughness",), "prevalence": 0.0, "patients": 300}
    return Plan(1.0, 3000, tuple(np.random.default_rng(9).normal(size=300)), **{**known, **changes})


def test_each_bet_is_a_density() -> None:
    for number in range(len(KINDS)):
        total, _ = integrate.quad(lambda u, k=number: bets(u)[k], 0, 1, points=[1e-6, 1 - 1e-6], limit=200)
        assert total == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize(
    ("changed", "watchers"),
    [
        ({"mean": 0.8}, {"score", "cusum", "flags"}),
        ({"mean": -0.8}, {"score", "cusum"}),
        ({"deviation": 1.8}, {"score"}),
        ({"kvp": 85.0}, {"fact kvp"}),
        ({"ap": 0.5}, {"fact view"}),
        ({"rough": 1.0}, {"feature roughness"}),
    ],
)
def test_what_changes_alarms_and_says_so(changed: dict[str, float], watchers: set[str]) -> None:
    rng = np.random.default_rng(3)
    watch = Watch(plan())
    calm = [change for study in studies(rng, 150) for change in watch.take(study)]
    found = [change for study in studies(rng, 250, 150, **changed) for change in watch.take(study)]
    assert calm == []
    first = {change.watcher: change for change in reversed(found)}
    assert watchers <= first.keys()
    assert all(150 < change.study < 400 and change.since > 1 for change in first.values())
    assert all(
        "study" in sentence(change) and "calibrate chest" in remedy(change, "chest") for change in found
    )


def test_false_alarms_are_no_more_than_promised() -> None:
    """20 years of 400 studies at 2 a year: at most 40 on average, which 99 % of Poisson's numbers keep."""
    rng = np.random.default_rng(4)
    raised: Counter[str] = Counter()
    for year in range(20):
        scores = rng.normal(size=500)
        watch = Watch(Plan(2.0, 400, tuple(scores[:100]), facts=("kvp",)))
        for place, score in enumerate(scores[100:]):
            study = Study(f"{year}-{place}", float(score), facts={"kvp": float(rng.normal())})
            raised.update(change.watcher for change in watch.take(study))
    assert 3 <= raised.total() <= stats.poisson.ppf(0.99, 40)


def test_cusum_limits_give_known_run_lengths() -> None:
    """Two sides with k = 0.25, h = 8.01 have 370 (D. Montgomery, Introduction to Statistical Quality
    Control)."""
    assert run_length(8.01) / 2 == pytest.approx(370, rel=0.01)
    assert run_length(limit_for(0.5, 1000)) >= 2 * 1000 / 0.5
    rng = np.random.default_rng(5)
    sums, alarms = Cusum(), 0
    for z in rng.normal(size=40_000):
        alarms += sums.take(float(z), 6.0) is not None
    assert alarms == pytest.approx(2 * 40_000 / run_length(6.0), rel=0.15)


def test_a_watch_that_is_written_and_read_goes_on_as_if_nothing_were() -> None:
    rng = np.random.default_rng(6)
    seen = [*studies(rng, 60), *studies(rng, 120, 60, mean=1.2, kvp=90.0)]
    whole, parted = Watch(plan()), Watch(plan())
    expected = [change for study in seen for change in whole.take(study)]
    found: list[Change] = []
    for place, study in enumerate(seen):
        if place % 30 == 29:
            parted = Watch.from_state(plan(), json.loads(json.dumps(parted.state(), allow_nan=False)))
        found += parted.take(study)
    assert found == expected != []
    with pytest.raises(ValueError, match="format"):
        Watch.from_state(plan(), {"format": 0})


def test_missing_facts_are_a_value_of_their_own() -> None:
    watch = Watch(plan(facts=("kvp",), features=(), prevalence=None))
    for place in range(300):
        watch.take(Study(str(place), float(place % 7), facts={"kvp": 80.0 + place % 3}))
    found = [
        change for place in range(300, 360) for change in watch.take(Study(str(place), float(place % 7)))
    ]
    assert "fact kvp" in {change.watcher for change in found}


def test_shares_of_the_promise_add_up_and_too_few_patients_watch_no_flags() -> None:
    assert sum(plan().shares.values()) == pytest.approx(1)
    assert highest_rate(0.05, 10, 0.0) is None
    assert "flags" not in plan(patients=10).shares
    with pytest.raises(ValueError, match="no promise"):
        Plan(0.0, 100)
    with pytest.raises(ValueError, match="finite"):
        Watch(plan()).take(Study("1", float("nan")))


def test_evidence_of_one_bet_is_the_sum_over_all_beginnings() -> None:
    evidence, gains = Evidence(), [1.5, 0.5, 2.0]
    for gain in gains:
        evidence.take([gain], ("higher",), 0.1, 99.0)
    assert evidence.years == pytest.approx(0.1 * (1.5 * 0.5 * 2 + 0.5 * 2 + 2))
