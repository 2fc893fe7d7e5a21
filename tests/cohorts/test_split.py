from collections import Counter, defaultdict

import pytest

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import PackedRows, Row
from secondread.cohorts.split import split
from secondread.errors import UserError


def made(tmp_path, patients=100):
    rows = [
        Row(f"{p}-{i}.png", label="abnormal" if p % 4 == 0 else "normal", patient_id=f"p{p}")
        for p in range(patients)
        for i in range(1 + p % 5)
    ]
    return Manifest(tuple(rows), tmp_path, "m.csv")


def test_a_patient_stays_together_and_labels_spread_alike(tmp_path):
    got = split(made(tmp_path), seed=0, test=0.25, validation=0.1)
    where = defaultdict(set)
    for row in got.rows:
        where[row.patient_id].add(row.split)
    assert all(len(splits) == 1 for splits in where.values())
    counts = Counter((row.split, row.label) for row in got.rows)
    for label in ("normal", "abnormal"):
        total = sum(count for (_, of), count in counts.items() if of == label)
        assert counts["test", label] / total == pytest.approx(0.25, abs=0.06)
        assert counts["validation", label] / total == pytest.approx(0.1, abs=0.06)


def test_the_seed_decides(tmp_path):
    assert split(made(tmp_path), seed=1).rows == split(made(tmp_path), seed=1).rows
    assert split(made(tmp_path), seed=1).rows != split(made(tmp_path), seed=2).rows


@pytest.mark.parametrize("how", [{}, {"folds": 3}])
def test_rows_of_a_file_are_split_alike_and_stay_packed(tmp_path, how):
    manifest = made(tmp_path)
    read = Manifest.read(manifest.write(tmp_path / "m.csv"))
    got = split(read, seed=0, **how)
    assert isinstance(got.rows, PackedRows)
    assert got.rows == split(manifest, seed=0, **how).rows
    assert got.rows.column("path") is read.rows.column("path")


def test_folds_are_alike_and_fill_their_own_column(tmp_path):
    got = split(made(tmp_path), seed=0, folds=5)
    counts = Counter(row.extra["fold"] for row in got.rows)
    assert sorted(counts) == list("01234")
    assert max(counts.values()) - min(counts.values()) < 20
    assert {row.split for row in got.rows} == {""}


def test_patients_without_labels_go_to_train_and_get_no_fold(tmp_path):
    rows = (*made(tmp_path).rows, *(Row(f"u{i}.png", patient_id=f"u{i}") for i in range(10)))
    manifest = Manifest(rows, tmp_path)
    assert {r.split for r in split(manifest, seed=0).rows if not r.label} == {"train"}
    assert {r.extra["fold"] for r in split(manifest, seed=0, folds=3).rows if not r.label} == {""}


def test_a_split_is_not_replaced_unasked(tmp_path):
    done = split(made(tmp_path), seed=0)
    with pytest.raises(UserError, match="--again"):
        split(done, seed=1)
    assert split(done, seed=1, again=True).rows == split(made(tmp_path), seed=1).rows


@pytest.mark.parametrize(
    "wrong", [{"test": 1.0}, {"test": 0.6, "validation": 0.5}, {"folds": 1}, {"folds": 500}]
)
def test_what_cannot_be_met_is_refused(tmp_path, wrong):
    with pytest.raises(UserError):
        split(made(tmp_path), seed=0, **wrong)


def test_an_unknown_column_to_stratify_by_is_named(tmp_path):
    with pytest.raises(UserError, match="'site'"):
        split(made(tmp_path), seed=0, stratify=("label", "site"))


def test_glioma_slices_split_by_patient_with_labels_alike(shared_data):
    got = split(Manifest.read(shared_data / "lgg-mri" / "manifest.csv"), seed=0)
    test = [row for row in got.rows if row.split == "test"]
    assert not {r.patient_id for r in test} & {r.patient_id for r in got.rows if r.split == "train"}
    assert len(test) / len(got.rows) == pytest.approx(0.2, abs=0.05)
    assert sum(r.label == "abnormal" for r in test) / len(test) == pytest.approx(409 / 1068, abs=0.1)
