import numpy as np
import pytest
from scipy import stats

from secondread.cohorts.checking.giveaways import Giveaway, giveaways
from secondread.cohorts.checking.inspection import Inspection
from secondread.cohorts.checking.seen_table import SeenTable
from secondread.cohorts.row import Row


def given_away(facts, abnormal) -> list[Giveaway]:
    """Of images whose paths are their numbers."""
    table = SeenTable()
    for number, (of, ill) in enumerate(zip(facts, abnormal, strict=True)):
        seen = Inspection(f"{number}", f"{number}", (8, 8), 1, "", False, facts=of)
        table.add(Row(str(number), label="abnormal" if ill else "normal"), seen)
    table.finish()
    return giveaways(table)


def indices(found: Giveaway) -> tuple[int, ...]:
    return tuple(map(int, found.images))


def test_a_number_that_goes_with_the_label_is_found_and_others_are_not():
    rng = np.random.default_rng(0)
    label = np.arange(200) % 2 == 0
    facts = [{"rows": float(rng.normal(100 + 30 * a, 15)), "kvp": float(rng.normal(80, 5))} for a in label]
    (found,) = given_away(facts, label)
    assert found.fact == "rows"
    assert "AUROC 0.9" in found.line
    assert "low rows tend to be normal" in found.line
    low, high = indices(found)[:3], indices(found)[3:]
    assert not label[list(low)].any()
    assert label[list(high)].all()
    values = [each["rows"] for each in facts]
    assert max(values[i] for i in low) < min(values[i] for i in high)


def test_a_value_that_only_normals_have_is_found_though_it_is_rare():
    label = np.arange(200) < 100
    mode = ["RGBA" if i >= 188 else "RGB" for i in range(200)]
    (found,) = given_away([{"mode": m} for m in mode], label)
    assert "all 12 images with pixel mode RGBA are normal" in found.line
    assert indices(found) == tuple(range(188, 200))


def test_a_header_field_that_only_abnormal_images_have_is_found():
    label = [i % 2 == 0 for i in range(60)]
    found = given_away([{"exposure": float(i)} if a else {} for i, a in enumerate(label)], label)
    assert any(each.fact == "exposure known" for each in found)


def test_chance_is_not_found():
    rng = np.random.default_rng(1)
    label = rng.random(300) < 0.3
    facts = [
        {f"f{k}": float(rng.normal()) for k in range(20)} | {"site": str(rng.integers(5))} for _ in label
    ]
    assert given_away(facts, label) == []


def test_one_label_alone_gives_nothing_away():
    assert given_away([{"mode": "L"}, {"mode": "RGB"}], [True, True]) == []


def test_the_figures_are_those_of_scipy_s_tests():
    rng = np.random.default_rng(2)
    label = np.arange(120) % 3 == 0
    number = np.round(rng.normal(size=120) + 3 * label)
    (found,) = given_away([{"rows": float(value)} for value in number], label)
    area = stats.mannwhitneyu(number[label], number[~label], method="asymptotic").statistic / (40 * 80)
    assert found.strength == pytest.approx(2 * area - 1, abs=1e-12)
    site = ["ab"[int(a) if rng.random() < 0.9 else 0] for a in label]
    table = [
        [sum(s == kind and a == there for s, a in zip(site, label, strict=True)) for there in (0, 1)]
        for kind in "ab"
    ]
    g = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
    whole = next(
        each for each in given_away([{"site": s} for s in site], label) if "uncertainty" in each.line
    )
    assert whole.strength == pytest.approx(g / (240 * stats.entropy([80, 40])), abs=1e-12)
