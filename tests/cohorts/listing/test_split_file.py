import json
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from cohorts.dicom_files import write_dicom
from secondread.cohorts.cohort_settings import CohortSettings
from secondread.cohorts.cohorts import build_cohorts
from secondread.cohorts.listing.index import index
from secondread.cohorts.listing.split_file import SplitFile
from secondread.cohorts.manifest import Manifest
from secondread.errors import UserError
from secondread.outputs.temporary_database import TemporaryDatabase

LISTS = {
    "train": {
        "0": ["n2.png", "n10.png"],
        "unlabeled": {"0": ["u9.png", "u1.png", "u5.png"], "1": ["a3.png", "a1.png"]},
    },
    "test": {"0": ["t0.png"], "1": ["t1.png"]},
}


@pytest.fixture
def database():
    with closing(TemporaryDatabase("a test")) as found:
        yield found


def names(lists):
    pool = lists["train"]["unlabeled"]
    return [
        *lists["train"]["0"],
        *pool["0"],
        *pool["1"],
        *lists["test"]["0"],
        *lists["test"]["1"],
    ]


def write_list(tmp_path, lists=LISTS):
    path = tmp_path / "data.json"
    path.write_text(json.dumps(lists))
    return path


def write_picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(path)


def indexed(tmp_path, lists=LISTS):
    return index(
        tmp_path / "images",
        manifest_path=tmp_path / "m.csv",
        split_file=write_list(tmp_path, lists),
        workers=0,
    )


def test_the_lists_fill_split_label_and_the_columns_of_the_pool(tmp_path):
    for name in (*names(LISTS), "other.png"):
        write_picture(tmp_path / "images" / "test" / "normal" / name)
    result = indexed(tmp_path)
    manifest = Manifest.read(result.manifest.write(tmp_path / "m.csv"))
    said = {
        row.path.rpartition("/")[2]: (row.split, row.label, row.value("pool"), row.value("pool_order"))
        for row in manifest.rows
    }
    assert said == {
        "n2.png": ("train", "normal", "", ""),
        "n10.png": ("train", "normal", "", ""),
        "u9.png": ("train", "normal", "unlabelled", "0"),
        "u1.png": ("train", "normal", "unlabelled", "1"),
        "u5.png": ("train", "normal", "unlabelled", "2"),
        "a3.png": ("train", "abnormal", "unlabelled", "0"),
        "a1.png": ("train", "abnormal", "unlabelled", "1"),
        "t0.png": ("test", "normal", "", ""),
        "t1.png": ("test", "abnormal", "", ""),
    }
    assert result.missing == []
    assert any("1 file in" in warning and "in no list" in warning for warning in result.warnings)


def test_two_ls_are_the_same_pool(tmp_path):
    pool = LISTS["train"]["unlabeled"]
    other = {**LISTS, "train": {"0": ["n2.png", "n10.png"], "unlabelled": pool}}
    assert list(SplitFile.read(write_list(tmp_path, other)).listed) == list(
        SplitFile.read(write_list(tmp_path)).listed
    )


def test_names_are_found_whatever_the_extension_dicom_included(tmp_path):
    for name in names(LISTS):
        stem = name.removesuffix(".png")
        if stem.startswith("t"):
            write_picture(tmp_path / "images" / f"{stem}.jpeg")
        else:
            write_dicom(tmp_path / "images" / f"{stem}.dcm", Modality="CR", PatientID=stem)
    result = indexed(tmp_path)
    assert result.missing == []
    assert {row.path for row in result.manifest.rows if row.split == "test"} == {"t0.jpeg", "t1.jpeg"}
    assert len({row.patient_id for row in result.manifest.rows if row.split == "train"}) == 7


def test_listed_slices_stay_images_of_their_own(tmp_path):
    for i, name in enumerate(names(LISTS)):
        write_dicom(
            tmp_path / "images" / name,
            ImageType=["DERIVED", "PRIMARY"],
            ImagePositionPatient=[0, 0, 3 * i],
        )
    assert {row.path for row in indexed(tmp_path).manifest.rows} == set(names(LISTS))


def test_dots_in_names_are_kept_where_they_are_no_extension(tmp_path, database):
    (tmp_path / "data.json").write_text(json.dumps({"test": {"0": ["1.2.840.5.png", "1.2.840.6"]}}))
    paths = ["1.2.840.5.dicom", "x/1.2.840.6", "1.2.840"]
    found = SplitFile.read(tmp_path / "data.json").find(paths, "f", database)
    assert {path: each.name for path, each in found.files.items()} == {
        "1.2.840.5.dicom": "1.2.840.5.png",
        "x/1.2.840.6": "1.2.840.6",
    }


def test_missing_names_are_counted_named_and_left_out(tmp_path):
    for name in names(LISTS)[3:]:
        write_picture(tmp_path / "images" / name)
    result = indexed(tmp_path)
    assert result.missing == ["n2.png", "n10.png", "u9.png"]
    (line,) = [warning for warning in result.warnings if "have no file" in warning]
    assert "3 of 9 names" in line
    assert line.endswith("n2.png, n10.png, u9.png")
    assert len(result.manifest.rows) == 6


def test_an_exact_name_wins_over_another_extension(tmp_path, database):
    (tmp_path / "data.json").write_text(json.dumps({"test": {"0": ["x.png"]}}))
    found = SplitFile.read(tmp_path / "data.json").find(["x.dcm", "x.png"], "f", database)
    assert list(found.files) == ["x.png"]
    assert found.unlisted == 1


@pytest.mark.parametrize(
    ("listed", "files", "said"),
    [
        (["x.png"], ["a/x.png", "b/x.png"], r"1 names do not fit .* x.png \(a/x.png, b/x.png\)"),
        (["x.png"], ["x.dcm", "x.tif"], r"x.png \(x.dcm, x.tif\)"),
        (["x.png", "x.jpg"], ["x.dcm"], r"x.png and x.jpg \(both x.dcm\)"),
        (["x.png"], ["y.png"], "none of its 1 names is a file in f: x.png"),
    ],
)
def test_names_that_cannot_be_told_apart_are_refused(tmp_path, database, listed, files, said):
    (tmp_path / "data.json").write_text(json.dumps({"test": {"0": listed}}))
    with pytest.raises(UserError, match=said):
        SplitFile.read(tmp_path / "data.json").find(files, "f", database)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "the file is no object"),
        ("{}", "no name is in any list"),
        ('{"val": {}}', "val is unknown; it needs train.0"),
        ('{"test": {"unlabeled": {}}}', "test.unlabeled is unknown"),
        ('{"train": {"0": "x.png"}}', "train.0 is no list of file names"),
        ('{"train": {"unlabeled": {"1": [3]}}}', "train.unlabeled.1 is no list of file names"),
        ('{"train": {"0": ["x"]}, "test": {"1": ["x"]}}', "1 names are listed more than once: x"),
    ],
)
def test_a_file_of_another_form_is_refused_in_one_line(tmp_path, text, said):
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(UserError, match=said) as refused:
        SplitFile.read(tmp_path / "data.json")
    assert "data.json" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_split_file_is_said(tmp_path):
    with pytest.raises(UserError, match="no such split file"):
        SplitFile.read(tmp_path / "data.json")


def test_from_the_lists_to_the_published_cohorts(tmp_path):
    lists = {
        "train": {
            "0": [f"n{i}.png" for i in range(10)],
            "unlabeled": {"0": [f"u{i}.png" for i in range(9, 0, -1)], "1": ["z.png", "y.png", "x.png"]},
        },
        "test": {"0": [], "1": []},
    }
    for name in names(lists):
        write_picture(tmp_path / "images" / name)
    manifest = indexed(tmp_path, lists).manifest
    got = build_cohorts(manifest, CohortSettings(anomaly_rate=0.5, unlabelled=5), 0)
    assert {row.path for row in got.unlabelled} == {"u9.png", "u8.png", "u7.png", "z.png", "y.png"}
    assert {row.path[0] for row in [*got.normal, *got.validation, *got.calibration]} == {"n"}
