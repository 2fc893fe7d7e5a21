"""Rows of a table meet files by path, name, stem or id; what is left on either side is said."""

import pytest

from secondread.cohorts.labels.join import join
from secondread.errors import UserError


def joined(keys, files, **more):
    return join(keys, files, source="labels.csv", folder="films", **more)


@pytest.mark.parametrize(
    ("key", "file", "ways"),
    [
        ("train/a.png", "train/a.png", "path"),
        ("set-v1/train/a.png", "train/a.png", "path"),
        (r"train\a.png", "set/train/a.png", "path"),
        ("train/a", "train/a.png", "path"),
        ("a.png", "x/a.png", "file name"),
        ("1.2.840.7", "x/1.2.840.7.dicom", "file name without its extension"),
        ("a.png", "x/a.dcm", "file name without its extension"),
        ("BraTS_001", "BraTS_001/BraTS_001_t1.nii.gz", "id"),
        ("p17", "site/p17/s1/a.png", "id"),
    ],
)
def test_a_key_finds_its_file(key, file, ways):
    found = joined([key, "nothing"], [file, "other/zz.png"])
    assert found.keys == {file: key}
    assert list(found.said) == [
        f"labels.csv: has rows of 1 image in films, found by {ways}",
        "labels.csv: names 1 image that films does not hold; left out: nothing",
        "labels.csv: has no row of 1 image in films; without a label: other/zz.png",
    ]


def test_an_id_names_every_file_of_its_folder_and_the_deepest_id_counts():
    files = ["p1/a.png", "p1/b.png", "p2/p3_1.png"]
    keys = joined(["p1", "p2", "p3"], files).keys
    assert keys == {"p1/a.png": "p1", "p1/b.png": "p1", "p2/p3_1.png": "p3"}


def test_the_same_name_in_another_folder_is_no_match():
    with pytest.raises(UserError, match="none of its 1 image is among 1 in films"):
        joined(["train/1.png"], ["test/1.png"])
    assert joined(["train/1.png"], ["test/1.png"], way="name").keys == {"test/1.png": "train/1.png"}


def test_what_is_ambiguous_is_refused_with_examples():
    with pytest.raises(
        UserError, match=r"of its 1 image 1 may be several files in films: a.png \(x/a.png, y/a.png\)"
    ):
        joined(["a.png"], ["x/a.png", "y/a.png"])
    with pytest.raises(UserError, match=r"named in several ways: a and a.png \(both x/a.png\)"):
        joined(["a", "a.png"], ["x/a.png"])
