from dataclasses import replace

import pytest
from pydantic import ValidationError

from secondread.cohorts.cohort_settings import CohortSettings
from secondread.cohorts.cohorts import Cohorts, build_cohorts
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row, patient_of
from secondread.errors import UserError

OTHERS = ("unlabelled", "abnormal", "validation", "calibration")


def made(tmp_path, *more, abnormal=60):
    rows = [
        *(Row(f"n{i}.png", "train", "normal", patient_id=f"p{i // 2}") for i in range(100)),
        *(
            Row(f"a{i}.png", "train", "abnormal", "nodule" if i % 2 else "effusion", f"q{i // 2}", mask="m")
            for i in range(abnormal)
        ),
        *(Row(f"u{i}.png", "train", patient_id=f"r{i}") for i in range(20)),
        *(Row(f"t{i}.png", "test", "abnormal", patient_id=f"t{i}") for i in range(20)),
        *more,
    ]
    return Manifest(tuple(rows), tmp_path, "m.csv")


def built(manifest, contamination, seed=0, **settings) -> Cohorts:
    return build_cohorts(manifest, CohortSettings(contamination=contamination, **settings), seed)


def planted(cohorts: Cohorts) -> set[str]:
    return {row.path for row in cohorts.normal if not row.path.startswith("n")}


def normals(cohorts: Cohorts) -> set[str]:
    return {row.path for row in cohorts.normal if row.path.startswith("n")}


def test_the_asked_share_is_abnormal_training_images_and_the_size_stays(tmp_path):
    got = built(made(tmp_path), 0.1)
    assert len(got.normal) == len({row.path for row in got.normal}) == 70
    assert len(planted(got)) == 7
    assert all(path.startswith("a") for path in planted(got))
    assert "normal holds 7 of 70 images that are in truth abnormal (cohorts.contamination)" in got.notes


def test_nothing_in_a_planted_row_tells_it_from_a_normal_one(tmp_path):
    rows = built(made(tmp_path), 0.3).normal
    assert {(row.label, row.finding, row.mask) for row in rows} == {("normal", "", "")}


def test_without_contamination_nothing_changes(tmp_path):
    got = built(made(tmp_path), 0, max_normal=50, labelled={"any": 5})
    assert got == build_cohorts(made(tmp_path), CohortSettings(max_normal=50, labelled={"any": 5}), 0)
    assert not any("contamination" in note for note in got.notes)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_normal": 40},
        {"labelled": {"nodule": 3, "any": 4}},
        {"anomaly_rate": 0.25, "unlabelled": 20},
        {"anomaly_rate": 0.5, "unlabelled": 10, "unlabelled_findings": ("nodule",), "labelled": {"any": 2}},
    ],
)
def test_all_other_cohorts_are_those_of_a_fit_without_it(tmp_path, settings):
    manifest = made(tmp_path)
    clean, foul = built(manifest, 0, **settings), built(manifest, 0.4, **settings)
    for name in OTHERS:
        assert getattr(foul, name) == getattr(clean, name)
    assert len(foul.normal) == len(clean.normal)
    assert normals(foul) < normals(clean)
    elsewhere = {row.path for name in OTHERS for row in getattr(foul, name)}
    assert not elsewhere & {row.path for row in foul.normal}


def test_a_larger_share_keeps_what_a_smaller_one_planted_and_left_out(tmp_path):
    manifest = made(tmp_path)
    few, some, many = (built(manifest, share) for share in (0.05, 0.2, 0.5))
    assert planted(few) < planted(some) < planted(many)
    assert normals(few) > normals(some) > normals(many)
    assert (len(planted(many)), len(normals(many))) == (35, 35)


def test_the_seed_alone_decides_whatever_the_order(tmp_path):
    manifest = made(tmp_path)
    turned = replace(manifest, rows=manifest.rows[::-1])
    assert planted(built(manifest, 0.2)) == planted(built(turned, 0.2))
    assert planted(built(manifest, 0.2, seed=1)) != planted(built(manifest, 0.2, seed=2))


def test_images_of_held_out_patients_are_not_planted(tmp_path):
    rows = [
        Row(f"{'na'[i > 1]}{p}-{i}", "train", "abnormal" if i > 1 else "normal", "", f"p{p}")
        for p in range(20)
        for i in range(4)
    ]
    got = built(Manifest(tuple(rows), tmp_path), 0.5)
    held_out = {patient_of(row) for row in (*got.validation, *got.calibration)}
    assert len(planted(got)) == 14
    assert not held_out & {patient_of(row) for row in got.normal}


def test_an_image_of_the_unlabelled_pool_is_never_planted(tmp_path):
    pool = [
        Row(f"pool{i}.png", "train", "abnormal", patient_id=f"s{i}", extra={"pool": "unlabelled"})
        for i in range(50)
    ]
    got = built(made(tmp_path, *pool), 0.5)
    assert all(path.startswith("a") for path in planted(got))
    assert len(got.unlabelled) == 70


def test_too_few_abnormal_images_are_told_in_one_line(tmp_path):
    with pytest.raises(UserError, match=r"0\.5 of 70 normals needs 35 .* but 10 are there") as error:
        built(made(tmp_path, abnormal=14), 0.5, labelled={"any": 4})
    assert "\n" not in str(error.value)


def test_a_share_that_comes_to_no_image_is_not_passed_off_as_contaminated(tmp_path):
    with pytest.raises(UserError, match=r"0\.005 of 70 normals comes to no image"):
        built(made(tmp_path, abnormal=14), 0.005)


@pytest.mark.parametrize("share", [-0.1, 0.6])
def test_a_share_outside_zero_to_a_half_is_refused(share):
    with pytest.raises(ValidationError, match="contamination"):
        CohortSettings(contamination=share)
