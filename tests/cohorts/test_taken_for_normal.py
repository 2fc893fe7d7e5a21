from dataclasses import replace

import pytest
from pydantic import ValidationError

from secondread.cohorts.cohort_settings import CohortSettings
from secondread.cohorts.cohorts import build_cohorts
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row, patient_of
from secondread.errors import UserError

POOL = {"pool": "unlabelled"}
LABELS = ("normal", "abnormal")


def made(tmp_path, unlabelled=20, pool=0):
    rows = [
        *(Row(f"n{i}.png", "train", "normal", patient_id=f"p{i // 2}") for i in range(100)),
        *(Row(f"a{i}.png", "train", "abnormal", "nodule", f"q{i}", mask="m") for i in range(30)),
        *(Row(f"u{i}.png", "train", patient_id=f"p{40 + i // 2}") for i in range(unlabelled)),
        *(Row(f"l{i}.png", "train", label, "", f"s{i}", extra=POOL) for i, label in enumerate(LABELS * pool)),
        Row("v.png", "validation", "normal", patient_id="v"),
        *(Row(f"t{i}.png", "test", "normal", patient_id=f"t{i}") for i in range(9)),
    ]
    return Manifest(tuple(rows), tmp_path, "m.csv")


def built(manifest, as_what="normal", **settings):
    return build_cohorts(manifest, CohortSettings(unlabelled_as=as_what, **settings), 0)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_normal": 40, "unlabelled": 6},
        {"labelled": {"any": 5}, "contamination": 0.1},
        {"anomaly_rate": 0.5, "unlabelled": 20},
    ],
)
def test_the_unlabelled_images_join_normal_and_no_other_cohort_changes(tmp_path, settings):
    plain, joined = (built(made(tmp_path), what, **settings) for what in ("unlabelled", "normal"))
    count = len(plain.unlabelled)
    assert joined.normal[:-count] == plain.normal
    assert [row.path for row in joined.normal[-count:]] == [row.path for row in plain.unlabelled]
    assert joined.taken_for_normal == count > 0
    assert joined.unlabelled == []
    assert plain.taken_for_normal == 0
    for name in ("abnormal", "validation", "calibration"):
        assert getattr(joined, name) == getattr(plain, name)
    note = f"normal holds {count} unlabelled images, taken for normal (cohorts.unlabelled_as)"
    assert [line for line in joined.notes if line not in plain.notes] == [note]


def test_nothing_tells_them_from_normal_ones_and_none_is_of_a_held_out_patient(tmp_path):
    found = built(made(tmp_path, pool=20))
    assert {(row.label, row.finding, row.mask) for row in found.normal} == {("normal", "", "")}
    held_out = {patient_of(row) for row in (*found.validation, *found.calibration)}
    assert not held_out & {patient_of(row) for row in found.normal}
    assert all(row.path[0] in "nv" for row in (*found.validation, *found.calibration))


def test_the_order_of_the_manifest_does_not_matter(tmp_path):
    manifest = made(tmp_path)
    turned = replace(manifest, rows=manifest.rows[::-1])
    given = {"anomaly_rate": 0.3, "unlabelled": 10}
    assert {row.path for row in built(manifest, **given).normal} == {
        row.path for row in built(turned, **given).normal
    }


def test_no_unlabelled_images_and_other_words_are_refused(tmp_path):
    with pytest.raises(
        UserError, match="unlabelled_as is normal, and there are no unlabelled images"
    ) as told:
        built(made(tmp_path, unlabelled=0))
    assert "\n" not in str(told.value)
    with pytest.raises(ValidationError, match="unlabelled_as"):
        CohortSettings(unlabelled_as="abnormal")
