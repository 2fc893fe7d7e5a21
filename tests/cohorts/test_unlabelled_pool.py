from collections import Counter

import pytest
from pydantic import ValidationError

from secondread.cohorts.cohort_settings import CohortSettings
from secondread.cohorts.cohorts import build_cohorts
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.cohorts.unlabelled import in_pool
from secondread.errors import UserError


def pooled(label, position, *, path=None, patient="", word="unlabelled"):
    return Row(
        path or f"{label[0]}{position}.png",
        "train",
        label,
        patient_id=patient,
        extra={"pool": word, "pool_order": str(position)},
    )


def made(tmp_path, *more, normal=20, abnormal=20):
    rows = [
        *(Row(f"d{i}.png", "train", "normal", patient_id=f"d{i}") for i in range(30)),
        *(pooled("normal", i) for i in reversed(range(normal))),
        *(pooled("abnormal", i) for i in range(abnormal)),
        Row("t.png", "test", "abnormal"),
        *more,
    ]
    return Manifest(tuple(rows), tmp_path, "m.csv")


def paths(rows):
    return {row.path for row in rows}


def test_the_head_of_each_list_is_taken_abnormal_ones_rounded_down(tmp_path):
    got = build_cohorts(made(tmp_path), CohortSettings(anomaly_rate=0.6, unlabelled=9), 0)
    assert paths(got.unlabelled) == {*(f"a{i}.png" for i in range(5)), *(f"n{i}.png" for i in range(4))}
    assert all(not row.label for row in got.unlabelled)
    assert any("9 images of the pool (head)" in note and "5 of them abnormal" in note for note in got.notes)


def test_the_head_does_not_depend_on_the_seed_and_grows_with_the_share(tmp_path):
    manifest = made(tmp_path)
    rates = [0.0, 0.2, 0.6, 1.0]
    abnormal = []
    for rate in rates:
        settings = CohortSettings(anomaly_rate=rate, unlabelled=10)
        one, two = (paths(build_cohorts(manifest, settings, seed).unlabelled) for seed in (1, 2))
        assert one == two
        abnormal.append({path for path in one if path.startswith("a")})
    assert [len(found) for found in abnormal] == [0, 2, 6, 10]
    assert abnormal[0] < abnormal[1] < abnormal[2] < abnormal[3]


def test_a_random_draw_from_the_pool_follows_the_seed(tmp_path):
    manifest = made(tmp_path)
    settings = CohortSettings(anomaly_rate=0.6, unlabelled=10, pool_draw="random")
    draws = [paths(build_cohorts(manifest, settings, seed).unlabelled) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert Counter(path[0] for path in draws[0]) == {"a": 6, "n": 4}


@pytest.mark.parametrize("rate", [None, 0.5])
def test_the_pools_normals_are_never_learnt_as_normal_nor_held_out(tmp_path, rate):
    settings = CohortSettings(anomaly_rate=rate, unlabelled=10)
    got = build_cohorts(made(tmp_path), settings, 0)
    known = [*got.normal, *got.validation, *got.calibration]
    assert paths(known) == {f"d{i}.png" for i in range(30)}
    assert got.abnormal == []


def test_without_an_anomaly_rate_the_whole_pool_is_unlabelled_labels_hidden(tmp_path):
    got = build_cohorts(made(tmp_path, Row("u.png", "train")), CohortSettings(), 0)
    assert len(got.unlabelled) == 41
    assert {row.label for row in got.unlabelled} == {""}


def test_labelled_abnormal_images_do_not_come_from_the_pool(tmp_path):
    known = Row("k.png", "train", "abnormal", "mass")
    got = build_cohorts(made(tmp_path, known), CohortSettings(labelled={"any": 1}), 0)
    assert paths(got.abnormal) == {"k.png"}
    with pytest.raises(UserError, match="but 1 are there"):
        build_cohorts(made(tmp_path, known), CohortSettings(labelled={"any": 2}), 0)


def test_gaps_in_the_list_are_noted_and_the_next_image_takes_the_place(tmp_path):
    manifest = made(tmp_path)
    rows = tuple(row for row in manifest.rows if row.path not in ("a0.png", "a2.png", "a9.png"))
    got = build_cohorts(Manifest(rows, tmp_path, "m.csv"), CohortSettings(anomaly_rate=0.5, unlabelled=8), 0)
    assert {"a1.png", "a3.png", "a4.png", "a5.png"} <= paths(got.unlabelled)
    (note,) = [note for note in got.notes if "took their place" in note]
    assert note.startswith("2 of the first 4 abnormal images")


def test_a_held_out_patients_images_of_the_pool_are_used_nowhere(tmp_path):
    own = [pooled("normal", 100 + i, patient=f"d{i}") for i in range(30)]
    got = build_cohorts(made(tmp_path, *own), CohortSettings(), 0)
    held_out = {row.patient_id for row in [*got.validation, *got.calibration]}
    assert held_out
    assert not held_out & {row.patient_id for row in got.unlabelled}
    assert any(note.startswith(f"{len(held_out)} abnormal or unlabelled") for note in got.notes)


def test_a_pool_needs_the_number_of_images(tmp_path):
    with pytest.raises(UserError, match=r"needs cohorts\.unlabelled"):
        build_cohorts(made(tmp_path), CohortSettings(anomaly_rate=0.6), 0)


def test_a_pool_that_is_too_small_is_told_with_the_numbers(tmp_path):
    settings = CohortSettings(anomaly_rate=1.0, unlabelled=21)
    with pytest.raises(UserError, match=r"need 0 normal and 21 abnormal ones, but 20 and 20 are in the pool"):
        build_cohorts(made(tmp_path), settings, 0)


@pytest.mark.parametrize("said", ["", "first", "-1"])
def test_a_pool_without_positions_has_no_head(tmp_path, said):
    row = Row("x.png", "train", "abnormal", extra={"pool": "unlabelled", "pool_order": said})
    settings = CohortSettings(anomaly_rate=0.5, unlabelled=4)
    with pytest.raises(UserError, match=r"x\.png .*pool_order .* no position"):
        build_cohorts(made(tmp_path, row), settings, 0)
    random = settings.model_copy(update={"pool_draw": "random"})
    assert len(build_cohorts(made(tmp_path, row), random, 0).unlabelled) == 4


def test_the_pool_is_train_rows_in_either_spelling():
    assert in_pool(pooled("normal", 0, word="Unlabeled"))
    assert not in_pool(pooled("normal", 0, word="swimming"))
    assert not in_pool(Row("t.png", "test", "normal", extra={"pool": "unlabelled"}))


def test_abnormal_images_alone_can_be_asked_for_by_number(tmp_path):
    rows = [Row(f"n{i}", "train", "normal") for i in range(20)]
    rows += [Row(f"a{i}", "train", "abnormal") for i in range(10)]
    settings = CohortSettings(anomaly_rate=1.0, unlabelled=8)
    got = build_cohorts(Manifest(tuple(rows), tmp_path), settings, 0)
    assert {row.path[0] for row in got.unlabelled} == {"a"}
    assert len(got.unlabelled) == 8
    assert len(got.normal) + len(got.validation) + len(got.calibration) == 20


def test_abnormal_images_alone_need_their_number():
    with pytest.raises(ValidationError, match="give unlabelled, how many"):
        CohortSettings(anomaly_rate=1.0)
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        CohortSettings(anomaly_rate=1.1, unlabelled=3)
