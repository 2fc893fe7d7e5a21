import json

import numpy as np
import pytest
from made_readings import Made, make_readings
from sklearn.metrics import average_precision_score, roc_auc_score

from secondread.errors import UserError
from secondread.evaluation import groups, shortcut, warnings
from secondread.evaluation.evaluate import evaluate
from secondread.evaluation.evaluation import Evaluation

SCHEMA = {
    "n", "auroc", "auroc_interval", "average_precision", "threshold", "sensitivity", "specificity",
    "precision", "f1", "accuracy", "false_alarm_rate_promised", "oracle", "baselines", "shortcut",
    "per_finding", "pixel",
    "studies",
}  # fmt: skip


def judged(made: Made, **options: object) -> Evaluation:
    return evaluate(made.csv, made.manifest, bootstrap=100, workers=0, **options)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_readings(tmp_path_factory.mktemp("readings"), maps=True, masks=True, studies=True)


@pytest.fixture(scope="module")
def evaluation(made):
    """For all who only look at it."""
    return judged(made)


@pytest.fixture
def fresh(tmp_path):
    return make_readings(tmp_path, normal=14, abnormal=10)


def test_metrics_have_every_key_of_the_schema_and_are_strict_json(evaluation):
    metrics = evaluation.metrics()
    assert set(metrics) >= SCHEMA
    assert set(metrics["baselines"]) == {"mean_intensity", "pixel_1nn", "spectrum", "flag_everything_f1"}
    assert set(metrics["oracle"]) == {"youden", "best_f1"}
    assert {"acquisition", "score_follows_acquisition", "thumbnail_ceiling"} <= set(metrics["shortcut"])
    assert {"auroc", "average_precision", "pro", "dice_calibrated", "dice_oracle"} <= set(metrics["pixel"])
    json.dumps(metrics, allow_nan=False)


def test_figures_equal_those_of_scikit_learn_on_the_same_rows(made, evaluation):
    metrics = evaluation.metrics()
    labels = [row["label"] == "abnormal" for row in made.rows]
    scores = [float(reading["score"]) for reading in made.readings]
    flags = np.array([reading["flagged"] == "true" for reading in made.readings])
    assert metrics["auroc"] == pytest.approx(roc_auc_score(labels, scores))
    assert metrics["average_precision"] == pytest.approx(average_precision_score(labels, scores))
    assert metrics["sensitivity"] == pytest.approx(flags[labels].mean())
    assert metrics["specificity"] == pytest.approx(1 - flags[~np.array(labels)].mean())
    low, high = metrics["auroc_interval"]
    assert low < metrics["auroc"] < high


def test_the_promised_rate_stands_beside_the_observed_one(evaluation):
    metrics = evaluation.metrics()
    assert metrics["false_alarm_rate_promised"] == 0.1
    assert metrics["false_alarm_rate_promised_range"] == [0.05, 0.17]
    assert metrics["false_alarm_rate"] == pytest.approx(1 - metrics["specificity"])


def test_the_same_seed_gives_the_same_metrics(made):
    first = judged(made, seed=3).metrics()
    shortcut._folds.forget()
    shortcut._label_from.forget()
    shortcut._score_from.forget()
    assert judged(made, seed=3).metrics() == first


def test_studies_are_judged_by_their_highest_image(made, evaluation):
    studies = evaluation.studies
    assert studies is not None
    best = max(float(r["score"]) for r in made.readings if r["study_id"] == studies.units.names[0])
    assert studies.units.scores[0] == best
    assert (studies.normal, studies.abnormal) == (20, 15)
    assert studies.calibrated is not None


def test_studies_scored_with_images_outside_the_test_get_no_decisions(tmp_path):
    made = make_readings(tmp_path, normal=14, abnormal=10, studies=True)
    made.studies[0]["score"] = repr(float(made.studies[0]["score"]) + 1)
    studies = judged(made.write()).studies
    assert studies is not None
    assert studies.calibrated is None


def test_pixel_metrics_follow_the_maps(evaluation):
    pixel = evaluation.metrics()["pixel"]
    assert pixel["auroc"] > 0.8
    assert 0 < pixel["dice_calibrated"] <= pixel["dice_oracle"] < 1
    assert pixel["images"] == 70


def test_masks_without_maps_give_a_reason(tmp_path):
    made = make_readings(tmp_path, normal=14, abnormal=10, masks=True)
    pixel = judged(made).metrics()["pixel"]
    assert pixel["auroc"] is None
    assert "--maps" in pixel["reason"]


def test_volumes_are_judged_voxel_by_voxel(tmp_path):
    made = make_readings(tmp_path, normal=12, abnormal=10, volumes=True, maps=True, masks=True)
    assert judged(made).metrics()["pixel"]["auroc"] > 0.8


def test_each_finding_meets_all_normals(evaluation):
    found = evaluation.metrics()["per_finding"]
    assert found["bright spot"]["n"] == {"normal": 40, "abnormal": 30}
    assert found["double"]["n"] == {"normal": 40, "abnormal": 10}


def test_of_findings_that_all_differ_the_commonest_are_judged(fresh, monkeypatch):
    sick = [row for row in fresh.rows if row["label"] == "abnormal"]
    for number, row in enumerate(sick):
        row["finding"] = f"{number:02d}; common" if number < 2 else f"{number:02d}"
    every = judged(fresh.write())
    assert len(every.findings) == 11
    assert "many_findings" not in {warning.kind for warning in every.warnings}

    judged_ones = []
    group = groups._group
    monkeypatch.setattr(groups, "_group", lambda *a, **k: judged_ones.append(a[0]) or group(*a, **k))
    monkeypatch.setattr(groups, "MOST_FINDINGS", 3)
    monkeypatch.setattr(groups, "MOST_CURVES", 1)
    monkeypatch.setattr(warnings, "MOST_FINDINGS", 3)
    some = judged(fresh)
    assert [name for name in judged_ones if name not in {"north", "south"}] == ["common", "00", "01"]
    kept = dict(list(every.metrics()["per_finding"].items())[:3])
    assert some.metrics()["per_finding"] == kept
    assert [found.roc is None for found in some.findings] == [False, True, True]
    (told,) = [warning for warning in some.warnings if warning.kind == "many_findings"]
    assert "11 findings; the 3 commonest" in told.text


def test_columns_with_a_few_values_become_subgroups(evaluation):
    assert list(evaluation.subgroups) == ["site"]
    assert [group.name for group in evaluation.subgroups["site"]] == ["north", "south"]


def test_prevalence_adds_predictive_values_by_bayes(made):
    metrics = judged(made, prevalence=0.02).metrics()
    found, alarms = 0.02 * metrics["sensitivity"], 0.98 * (1 - metrics["specificity"])
    assert metrics["ppv"] == pytest.approx(found / (found + alarms))


def test_where_filters_the_manifest(made):
    assert judged(made, where=("site=south",)).images.normal == 10


def test_only_test_rows_count(fresh):
    for row in fresh.rows[:5]:
        row["split"] = "train"
    metrics = judged(fresh.write()).metrics()
    assert metrics["n"]["normal"] == 9
    assert metrics["n"]["other_rows"] == 5


def test_a_manifest_without_splits_counts_whole_and_says_so(fresh):
    for row in fresh.rows:
        row["split"] = ""
    evaluation = judged(fresh.write())
    assert evaluation.images.normal == 14
    assert "no_split" in {warning.kind for warning in evaluation.warnings}


def test_a_fold_is_no_missing_split(fresh):
    for i, row in enumerate(fresh.rows):
        row["split"], row["fold"] = "", str(i % 2)
    evaluation = judged(fresh.write(), where=("fold=0",))
    assert "no_split" not in {warning.kind for warning in evaluation.warnings}
    assert "no_split" in {warning.kind for warning in judged(fresh).warnings}


def test_studies_of_two_patients_may_have_one_id(tmp_path):
    made = make_readings(tmp_path, normal=14, abnormal=10, studies=True)
    first, other = made.rows[0]["study_id"], made.rows[-1]["study_id"]
    for table in (made.rows, made.readings, made.studies):
        for row in table:
            row["study_id"] = first if row["study_id"] == other else row["study_id"]
    before = len(made.studies)
    studies = judged(made.write()).studies
    assert studies is not None
    assert len(studies.units) == before
    assert studies.calibrated is not None


def test_an_image_that_the_bundle_saw_is_refused_by_name(fresh):
    fresh.readings[3]["seen"] = "normal"
    with pytest.raises(UserError, match=r"films/normal/003\.png \(normal\)"):
        judged(fresh.write())


def test_remarks_of_readings_reach_the_warnings(fresh):
    for number, reading in enumerate(fresh.readings):
        reading["remarks"] = "tilted gantry: 18.5°"
        if number < 3:
            reading["remarks"] += f"; slices missing inside: {number} slices in 1 gap"
    (warning,) = [one for one in judged(fresh.write()).warnings if one.kind == "remarks"]
    assert "3 × slices missing inside: 0 slices in 1 gap (films/normal/000.png" in warning.text
    assert "tilted" not in warning.text


def test_a_seen_image_outside_the_test_is_no_matter(fresh):
    fresh.readings[3]["seen"] = "normal"
    fresh.rows[3]["split"] = "train"
    assert judged(fresh.write()).images.normal == 13


def test_a_patient_that_the_bundle_saw_is_refused_by_name(fresh):
    with pytest.raises(UserError, match="n002"):
        judged(fresh.see_patients("n002", "somebody").write())


def test_shared_patients_are_carried_where_the_fit_allowed_them(fresh):
    evaluation = judged(fresh.see_patients("n002", allowed=True).write())
    assert evaluation.shared_patients == ("n002",)
    assert evaluation.metrics()["shared_patients"] == ["n002"]
    assert evaluation.warnings[0].kind == "shared_patients"


def test_failed_and_unscored_images_are_counted_never_dropped(fresh):
    fresh.readings[0] |= {"score": "", "p_value": "", "flagged": "", "error": "truncated"}
    del fresh.readings[1]
    evaluation = judged(fresh.write())
    assert evaluation.metrics()["n"]["failed"] == 2
    assert [failure.reason for failure in evaluation.cases.failures] == [
        "truncated",
        "no reading: the run did not score it",
    ]


def test_unlabelled_rows_are_ignored_and_counted(fresh):
    fresh.rows[0]["label"] = fresh.rows[-1]["label"] = ""
    n = judged(fresh.write()).metrics()["n"]
    assert (n["normal"], n["abnormal"], n["unlabelled"]) == (13, 9, 2)


@pytest.mark.parametrize("counts", [{"normal": 14, "abnormal": 0}, {"normal": 0, "abnormal": 10}])
def test_one_label_alone_gives_null_with_a_reason(tmp_path, counts):
    metrics = judged(make_readings(tmp_path, **counts)).metrics()
    assert metrics["auroc"] is None
    assert "no " in metrics["reason"]
    assert (metrics["sensitivity"] is None) == (counts["abnormal"] == 0)


def test_all_files_failed_gives_nulls(fresh):
    for reading in fresh.readings:
        reading |= {"score": "", "p_value": "", "flagged": "", "error": "truncated"}
    metrics = judged(fresh.write()).metrics()
    assert metrics["auroc"] is None
    assert metrics["n"]["failed"] == 24


def test_readings_of_other_files_are_refused(fresh):
    for row in fresh.rows:
        row["path"] = "elsewhere/" + row["path"]
    with pytest.raises(UserError, match="none of the manifest's 24 test rows has a reading"):
        judged(fresh.write())


def test_readings_of_a_folder_meet_a_manifest_by_their_files(fresh):
    for reading in fresh.readings:
        reading["path"] = str(fresh.folder / reading["path"])
    del fresh.run["base"]
    assert judged(fresh.write()).images.normal == 14


def test_missing_patient_ids_are_said(tmp_path):
    evaluation = judged(make_readings(tmp_path, normal=14, abnormal=10, patients=False))
    assert "no_patient_ids" in {warning.kind for warning in evaluation.warnings}


def test_more_false_alarms_than_promised_are_said(fresh):
    for reading in fresh.readings:
        reading["flagged"] = "true"
    assert "false_alarms" in {warning.kind for warning in judged(fresh.write()).warnings}


def test_in_what_the_fit_fell_short_is_said(fresh):
    fresh.run["provenance"] = {"training": {"warnings": ["score and map are inter in place of r_dual"]}}
    (found,) = [warning for warning in judged(fresh.write()).warnings if warning.kind == "fit"]
    assert found.text == "Score and map are inter in place of r_dual."


def test_a_calibration_too_small_to_flag_is_said(fresh):
    fresh.run["calibration"]["images"] |= {"threshold": None, "patients": 4}
    found = judged(fresh.write())
    (warning,) = [warning for warning in found.warnings if warning.kind == "calibration_too_small"]
    assert "nothing is promised" in warning.text
    assert {reading.flagged for reading in found.readings} == {
        None
    }  # also where an earlier version wrote false
    metrics = found.metrics()
    assert metrics["false_alarm_rate_promised"] is None
    assert metrics["false_alarm_rate"] is metrics["sensitivity"] is metrics["confusion"] is None
    assert [point["name"] for point in metrics["operating_points"]] == [
        "p ≤ 0.2"
    ]  # 4 patients are enough for it


def test_complexity_is_shown_with_and_without(fresh):
    for number, reading in enumerate(fresh.readings):
        reading["part_complexity"] = repr(float(number))
        reading["score_without_complexity"] = reading["baseline_mean_intensity"]
    metrics = judged(fresh.write()).metrics()
    assert metrics["complexity"]["auroc_without"] == pytest.approx(metrics["baselines"]["mean_intensity"])
    assert metrics["complexity"]["gain"]["value"] == pytest.approx(
        metrics["auroc"] - metrics["complexity"]["auroc_without"]
    )


def test_a_prevalence_outside_zero_and_one_is_refused(fresh):
    with pytest.raises(UserError, match="prevalence"):
        judged(fresh, prevalence=1.5)
