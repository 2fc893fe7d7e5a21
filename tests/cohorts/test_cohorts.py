from collections import Counter
from dataclasses import replace

import pytest

from secondread.cohorts.cohort_settings import CohortSettings
from secondread.cohorts.cohorts import build_cohorts
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row, patient_of
from secondread.errors import UserError


def made(tmp_path, *, normals=100, abnormal=40, unlabelled=20, per_patient=2, ids=True):
    def rows(kind, label, count, split="train", finding=""):
        for i in range(count):
            patient = f"{kind}{i // per_patient}" if ids else ""
            yield Row(f"{split}/{kind}{i}.png", split, label, finding, patient)

    everything = [
        *rows("n", "normal", normals),
        *rows("a", "abnormal", abnormal // 2, finding="nodule"),
        *rows("b", "abnormal", abnormal // 2, finding="effusion"),
        *rows("u", "", unlabelled),
        *rows("tn", "normal", 10, "test"),
        *rows("ta", "abnormal", 10, "test"),
    ]
    return Manifest(tuple(everything), tmp_path, "m.csv")


def patients(rows):
    return {patient_of(row) for row in rows}


def test_held_out_normals_are_of_other_patients_and_no_test_row_is_used(tmp_path):
    made_of = build_cohorts(made(tmp_path), CohortSettings(), seed=3)
    parts = [made_of.normal, made_of.validation, made_of.calibration]
    assert [len(part) for part in parts] == [70, 10, 20]
    assert not patients(parts[0]) & patients(parts[1])
    assert not patients(parts[0]) & patients(parts[2])
    assert not patients(parts[1]) & patients(parts[2])
    for part in [*parts, made_of.unlabelled, made_of.abnormal]:
        assert all(row.split == "train" for row in part)
    assert len(made_of.unlabelled) == 20
    assert made_of.abnormal == []


def test_the_seed_alone_decides_whatever_the_order_of_rows(tmp_path):
    manifest = made(tmp_path)
    turned = replace(manifest, rows=manifest.rows[::-1])
    settings = CohortSettings(labelled={"nodule": 3}, max_normal=30)
    one, two = build_cohorts(manifest, settings, 1), build_cohorts(turned, settings, 1)
    for name in ("normal", "unlabelled", "abnormal", "validation", "calibration"):
        assert {r.path for r in getattr(one, name)} == {r.path for r in getattr(two, name)}
    assert {r.path for r in build_cohorts(manifest, settings, 2).calibration} != {
        r.path for r in one.calibration
    }


def test_other_images_of_held_out_patients_are_used_nowhere(tmp_path):
    rows = [
        Row(f"{p}-{i}", "train", "normal" if i else "abnormal", "", f"p{p}")
        for p in range(20)
        for i in range(3)
    ]
    got = build_cohorts(Manifest(tuple(rows), tmp_path), CohortSettings(labelled={"any": 10}), 0)
    held_out = patients([*got.validation, *got.calibration])
    assert not held_out & patients([*got.normal, *got.abnormal])
    assert any("held-out patients" in note for note in got.notes)


def test_all_labelled_images_of_a_finding_are_those_that_are_there(tmp_path):
    manifest = made(tmp_path)
    some = build_cohorts(manifest, CohortSettings(labelled={"any": 1}), 0)
    every = build_cohorts(manifest, CohortSettings(labelled={"any": "all"}), 0)
    assert {row.path for row in some.abnormal} < {row.path for row in every.abnormal}
    assert len(every.abnormal) == sum(row.label == "abnormal" for row in manifest if row.split == "train")
    with pytest.raises(UserError, match="asks for all training images with finding 'gout', but 0 are there"):
        build_cohorts(manifest, CohortSettings(labelled={"gout": "all"}), 0)


def test_labelled_findings_are_counted_out_and_more_keeps_the_few(tmp_path):
    few = build_cohorts(made(tmp_path), CohortSettings(labelled={"nodule": 2, "effusion": 1}), 0).abnormal
    more = build_cohorts(made(tmp_path), CohortSettings(labelled={"nodule": 5, "effusion": 1}), 0).abnormal
    assert Counter(row.finding for row in few) == {"nodule": 2, "effusion": 1}
    assert {row.path for row in few} < {row.path for row in more}


def test_a_finding_that_is_not_there_is_told_with_those_that_are(tmp_path):
    with pytest.raises(UserError, match=r"'mass'.*effusion \(20\), nodule \(20\)"):
        build_cohorts(made(tmp_path), CohortSettings(labelled={"mass": 1}), 0)


def test_unlabelled_is_made_at_the_asked_rate_with_labels_hidden(tmp_path):
    manifest = made(tmp_path)
    got = build_cohorts(manifest, CohortSettings(anomaly_rate=0.25, unlabelled=40, labelled={"any": 5}), 0)
    truth = {row.path: row.label for row in manifest.rows}
    assert Counter(truth[row.path] for row in got.unlabelled) == {"normal": 30, "abnormal": 10}
    assert all(not row.label and not row.finding for row in got.unlabelled)
    used = [row.path for row in [*got.normal, *got.unlabelled, *got.abnormal]]
    assert len(used) == len(set(used))
    assert len(got.normal) == 40


def test_a_finding_can_be_kept_out_of_the_unlabelled_images(tmp_path):
    manifest = made(tmp_path)
    settings = CohortSettings(anomaly_rate=0.25, unlabelled=40, unlabelled_findings=("nodule",))
    truth = {row.path: row for row in manifest.rows}
    drawn = [truth[row.path] for row in build_cohorts(manifest, settings, 0).unlabelled]
    assert Counter(row.finding for row in drawn) == {"": 30, "nodule": 10}


def test_an_impossible_mixture_is_refused_with_the_numbers(tmp_path):
    with pytest.raises(UserError, match=r"80 abnormal training images, but 70 and 40 are there"):
        build_cohorts(made(tmp_path), CohortSettings(anomaly_rate=0.8, unlabelled=100), 0)


def test_rows_of_the_validation_split_join_and_count_towards_the_share(tmp_path):
    manifest = made(tmp_path)
    given = tuple(Row(f"v{i}.png", "validation", "normal", "", f"v{i}") for i in range(20))
    got = build_cohorts(replace(manifest, rows=manifest.rows + given), CohortSettings(), 0)
    assert {row.path for row in got.validation} == {row.path for row in given}


def test_patients_in_train_and_test_are_refused_by_name_unless_allowed(tmp_path):
    manifest = made(tmp_path)
    shared = replace(manifest, rows=(*manifest.rows, Row("x.png", "test", "normal", "", "n7")))
    with pytest.raises(UserError, match=r"1 patient in more than one split: n7; .*--allow-shared-patients"):
        build_cohorts(shared, CohortSettings(), 0)
    assert build_cohorts(shared, CohortSettings(), 0, allow_shared_patients=True).shared_patients == ["n7"]


def test_without_patient_ids_each_image_is_its_own_patient_and_it_is_noted(tmp_path):
    got = build_cohorts(made(tmp_path, ids=False), CohortSettings(), 0)
    assert len(got.normal) == 70
    assert any("no patient id" in note for note in got.notes)


def test_without_patient_ids_a_study_stays_together(tmp_path):
    rows = tuple(Row(f"{i}.png", "train", "normal", study_id=f"s{i // 4}") for i in range(80))
    got = build_cohorts(Manifest(rows, tmp_path), CohortSettings(), 0)
    assert not {r.study_id for r in got.normal} & {r.study_id for r in got.calibration}


def test_a_manifest_without_splits_is_sent_to_split(tmp_path):
    rows = tuple(Row(f"{i}.png", "", "normal") for i in range(10))
    with pytest.raises(UserError, match="run `secondread split"):
        build_cohorts(Manifest(rows, tmp_path), CohortSettings(), 0)


def test_too_few_patients_are_refused_with_the_numbers(tmp_path):
    with pytest.raises(UserError, match="2 training patients"):
        build_cohorts(made(tmp_path, normals=4), CohortSettings(), 0)


def test_a_fold_is_test_and_filters_apply(tmp_path):
    rows = tuple(
        Row(f"{i}.png", "", "normal", "", f"p{i}", extra={"fold": str(i % 4), "view": "PA"})
        for i in range(80)
    )
    got = build_cohorts(Manifest(rows, tmp_path), CohortSettings(fold=2, where=("view=PA",)), 0)
    assert "2" not in {row.extra["fold"] for row in [*got.normal, *got.validation, *got.calibration]}
    assert len(got.normal) + len(got.validation) + len(got.calibration) == 60
    with pytest.raises(UserError, match="no row has fold 9"):
        build_cohorts(Manifest(rows, tmp_path), CohortSettings(fold=9), 0)


def test_chest_films_give_the_published_training_normals(shared_data):
    manifest = Manifest.read(shared_data / "kermany-cxr" / "manifest.csv")
    got = build_cohorts(manifest, CohortSettings(), 0)
    assert len(got.normal) + len(got.validation) + len(got.calibration) == 1349
    assert not patients(got.normal) & patients(got.calibration)
