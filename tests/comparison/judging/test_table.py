"""Rows, tests, agreement and notes that are made of finished runs."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from made_table import make_results
from scipy.stats import norm
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from secondread.comparison.judging.table import make_table
from secondread.comparison.running.plan import Run
from secondread.errors import UserError
from secondread.metrics.delong import delong_means
from secondread.metrics.ranks import holm


@pytest.fixture(scope="module")
def results():
    return make_results(contamination=(0.05, 0.1), pixels=True)


@pytest.fixture(scope="module")
def table(results):
    return make_table(results, bootstrap=200)


def test_a_row_holds_the_mean_and_deviation_over_seeds(results, table):
    labels = results.images.abnormal
    for row in table.rows:
        runs = results.of(row.name)
        areas = [roc_auc_score(labels, run.scores) for run in runs]
        precisions = [average_precision_score(labels, run.scores) for run in runs]
        assert row.auroc.mean == pytest.approx(np.mean(areas), abs=1e-12)
        assert row.auroc.deviation == pytest.approx(np.std(areas, ddof=1), abs=1e-12)
        assert row.average_precision.mean == pytest.approx(np.mean(precisions), abs=1e-12)
        assert row.false_alarm_rate.mean == pytest.approx(np.mean([r.flagged[~labels].mean() for r in runs]))
        assert row.auroc_interval[0] < row.auroc.mean < row.auroc_interval[1]
        assert 1 <= row.rank_range[0] <= row.rank_range[1] <= len(table.rows)


def test_the_best_comes_first_and_ranks_follow(table):
    means = [row.auroc.mean for row in table.rows]
    assert means == sorted(means, reverse=True)
    assert table.rows[0].rank < table.rows[-1].rank
    assert sum(row.rank for row in table.rows) == pytest.approx(sum(range(1, len(table.rows) + 1)))


def test_every_pair_is_tested_once_in_its_own_family(table):
    names = [row.name for row in table.rows]
    assert {frozenset((p.first, p.second)) for p in table.pairs} == {
        frozenset(pair) for pair in combinations(names, 2)
    }
    trivial = {row.name for row in table.rows if row.trivial}
    for pair in table.pairs:
        if pair.family == "reference":
            assert pair.second == "padim"
        elif pair.family == "trivial":
            assert pair.second in trivial
            assert pair.first not in trivial
        else:
            assert (pair.first in trivial) == (pair.second in trivial)
    assert len([pair for pair in table.pairs if pair.family == "reference"]) == len(names) - 1


def test_differences_are_those_of_the_means_and_holm_is_over_each_family(table):
    means = {row.name: row.auroc.mean for row in table.rows}
    for pair in table.pairs:
        assert pair.difference == pytest.approx(means[pair.first] - means[pair.second], abs=1e-12)
    for family in ("reference", "trivial", "others"):
        own = [pair for pair in table.pairs if pair.family == family]
        np.testing.assert_allclose([p.p_holm for p in own], holm([p.p_value for p in own]))


def test_delong_stands_beside_the_test_only_where_each_patient_has_one_image(results, table):
    first, second = table.rows[0].name, table.rows[1].name
    scores = [np.stack([run.scores for run in results.of(name)]) for name in (first, second)]
    areas, covariance = delong_means(results.images.abnormal, scores)
    pair = next(p for p in table.pairs if {p.first, p.second} == {first, second})
    z = (areas[0] - areas[1]) / np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert pair.delong == pytest.approx(2 * norm.sf(abs(z)), abs=1e-12)
    several = make_table(make_results(per_patient=2), bootstrap=60)
    assert {pair.delong for pair in several.pairs} == {None}
    assert any("no DeLong test" in note for note in several.notes)


def test_a_clear_lead_is_found():
    table = make_table(make_results(strengths={"padim": 3.0, "aeu": 0.5}), bootstrap=400)
    pair = next(p for p in table.pairs if {p.first, p.second} == {"padim", "aeu"})
    assert pair.p_holm < 0.001
    assert pair.interval[1] < 0 < -pair.interval[1]


def test_agreement_is_symmetric_and_of_a_method_with_itself_complete(table):
    np.testing.assert_allclose(table.agreement, table.agreement.T)
    np.testing.assert_allclose(np.diag(table.agreement), 1)


def test_contamination_has_a_curve_for_every_method_but_the_trivial_ones(table):
    assert {curve.name for curve in table.contaminated} == {"padim", "aeu", "memae"}
    for curve in table.contaminated:
        assert curve.shares == (0, 0.05, 0.1)
        assert curve.auroc[0].mean == next(r.auroc.mean for r in table.rows if r.name == curve.name)


def test_the_hardest_images_are_those_of_the_lowest_best_rank(results, table):
    ranks = np.stack([row.scores for row in table.rows])
    abnormal = results.images.abnormal
    worst = np.flatnonzero(abnormal)[np.argmin(ranks.max(axis=0)[abnormal])]
    assert table.missed[0].path == results.images.paths[worst]
    assert table.missed[0].abnormal
    assert not table.missed[-1].abnormal


def test_missing_runs_and_other_normals_are_said():
    results = make_results(missing={Run("aeu", 2): "the disk is full", Run("memae", 2): "the disk is full"})
    one, *others = results.runs
    results = replace(results, runs=(replace(one, learnt_from=frozenset({"other"})), *others))
    notes = " ".join(make_table(results, bootstrap=60).notes)
    assert "Not in the table: aeu, seed 2, memae, seed 2: the disk is full" in notes
    assert "did not all learn from the same normals (seed 0)" in notes
    assert "Fewer seeds than the 3 asked for: aeu, memae" in notes


def test_rows_that_take_unlabelled_images_for_normal_are_named_and_compared_among_themselves():
    results = make_results()
    starred = results.plan.methods[0]
    cohorts = starred.recipe.cohorts.model_copy(update={"unlabelled_as": "normal"})
    starred = replace(starred, recipe=starred.recipe.model_copy(update={"cohorts": cohorts}))
    runs = tuple(
        replace(run, learnt_from=frozenset({"more"})) if run.run.method == starred.name else run
        for run in results.runs
    )
    plan = replace(results.plan, methods=(starred, *results.plan.methods[1:]))
    notes = " ".join(make_table(replace(results, plan=plan, runs=runs), bootstrap=60).notes)
    assert f"To {starred.name} the unlabelled images are normal ones too" in notes
    assert "did not all learn from the same normals" not in notes


def test_one_seed_has_no_deviation():
    table = make_table(make_results(seeds=(0,)), bootstrap=60)
    assert {row.auroc.deviation for row in table.rows} == {None}
    assert not table.many_seeds


def test_the_same_seed_gives_the_same_table(results):
    first, second = (make_table(results, bootstrap=60, seed=3) for _ in range(2))
    assert first.pairs == second.pairs
    assert [row.auroc_interval for row in first.rows] == [row.auroc_interval for row in second.rows]


def test_one_image_of_a_label_has_a_table_without_delong():
    table = make_table(make_results(abnormal=1), bootstrap=60)
    assert {pair.delong for pair in table.pairs} == {None}
    assert any("one image of a label: no DeLong test" in note for note in table.notes)


@pytest.mark.parametrize(("abnormal", "told"), [(9, False), (10, True)])
def test_a_handful_of_patients_of_a_label_gives_no_p_value(abnormal, told):
    table = make_table(make_results(abnormal=abnormal), bootstrap=60)
    for pair in table.pairs:
        assert np.isfinite([pair.p_value, pair.p_holm]).tolist() == [told, told]
        assert (pair.delong is not None) == told
        assert pair.interval[0] < pair.interval[1]
    assert any("fewer than 10 patients of a label: no p-value" in note for note in table.notes) != told


def test_images_of_one_label_are_said_in_one_line():
    results = make_results()
    images = replace(results.images, abnormal=np.zeros_like(results.images.abnormal))
    with pytest.raises(UserError, match="all of one label"):
        make_table(replace(results, images=images), bootstrap=60)
    with pytest.raises(UserError, match="no interval can be drawn"):
        make_table(make_results(normal=1, abnormal=1), bootstrap=400)


def test_contaminated_runs_alone_make_no_table():
    results = make_results(contamination=(0.1,))
    planted = tuple(run for run in results.runs if run.run.contamination)
    with pytest.raises(UserError, match="no run without contamination"):
        make_table(replace(results, runs=planted), bootstrap=60)


def test_decisions_are_judged_on_the_images_that_every_run_scored(results, table):
    labels = results.images.abnormal
    for row in table.rows:
        flags = [run.flagged for run in results.of(row.name)]
        assert row.f1.mean == pytest.approx(np.mean([f1_score(labels, each) for each in flags]))
        assert row.specificity.mean == pytest.approx(1 - row.false_alarm_rate.mean)


def test_one_seed_beside_several_is_said():
    missing = {Run("aeu", seed): "not run yet" for seed in (1, 2)}
    notes = " ".join(make_table(make_results(missing=missing), bootstrap=60).notes)
    assert "One seed beside methods with several: aeu." in notes
    assert "One seed beside" not in " ".join(make_table(make_results(seeds=(0,)), bootstrap=60).notes)


def test_warnings_of_runs_are_carried_with_the_methods_that_have_them():
    results = make_results()
    small = {"kind": "calibration_too_small", "title": "Calibration set too small", "text": "Needs 19."}
    every = {"kind": "no_patient_ids", "title": "Patients unknown", "text": "No id."}
    other = {"kind": "beaten", "title": "Beaten", "text": "By a baseline."}
    runs = tuple(
        replace(
            run,
            metrics={
                **run.metrics,
                "warnings": [every, other, *([small] if run.run.method == "aeu" else [])],
            },
        )
        for run in results.runs
    )
    notes = make_table(replace(results, runs=runs), bootstrap=60).notes
    assert "Calibration set too small (aeu): Needs 19." in notes
    assert "Patients unknown: No id." in notes
    assert not any("Beaten" in note for note in notes)


def test_studies_of_several_images_are_said_to_be_judged_by_image():
    results = make_results()
    cases = tuple(replace(case, study=f"s{n // 2}") for n, case in enumerate(results.images.cases))
    notes = make_table(replace(results, images=replace(results.images, cases=cases)), bootstrap=60).notes
    assert any("per image, none per study" in note for note in notes)


def test_a_prompt_and_a_notebook_show_the_methods(table):
    for one in (table, table.results, table.results.images, *table.results.runs, *table.rows):
        assert max(len(repr(one)), len(str(one))) <= 300
    assert f"highest AUROC {table.rows[0].auroc.mean:.3f}" in repr(table)
    html = table._repr_html_()
    places = [html.index(f">{row.name}<") for row in table.rows]
    assert places == sorted(places)
    hostile = replace(table, rows=(replace(table.rows[0], name="<script>"), *table.rows[1:]))
    assert "<script" not in hostile._repr_html_()
