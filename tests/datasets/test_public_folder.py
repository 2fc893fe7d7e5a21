import pytest

from secondread.datasets.layouts.film_headers import years
from secondread.datasets.public_folder import Form, located
from secondread.errors import UserError

FORMS = (Form("one", ("train|training/normal", "labels*.csv")),)


def test_a_set_is_found_below_the_folder_that_is_given_whatever_case_its_names_have(lay_out):
    folder = lay_out("a/b/Training/NORMAL/1.png", texts={"a/b/Labels_v2.csv": "x"})
    found = located(folder, FORMS, "", "get it")
    assert found.root == (folder / "a/b").resolve()
    assert found.images("train|training/normal") == ["Training/NORMAL/1.png"]
    assert found.file_at("labels*.csv").name == "Labels_v2.csv"


def test_the_shallowest_of_nested_copies_counts(lay_out):
    folder = lay_out(
        "train/normal/1.png", "copy/train/normal/1.png", texts={"labels.csv": "", "copy/labels.csv": ""}
    )
    assert located(folder, FORMS, "", "get it").root == folder.resolve()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (("train/normal/1.png",), r"set: labels\*.csv is missing; get it"),
        (("other/1.png",), r"set: no data set of this layout in it and the 1 folder in it; sought: train or"),
        (("archive.zip",), r"sought: .*; unpack archive.zip, or get it"),
        (("train/normal.tar.gz", "labels.csv.zip"), r"unpack labels.csv.zip, or get it"),
    ],
)
def test_what_is_missing_is_said_in_one_line(files, said, lay_out):
    with pytest.raises(UserError, match=said) as error:
        located(lay_out(*(file for file in files if "tar" not in file)), FORMS, "", "get it")
    assert "\n" not in str(error.value)


def test_an_archive_in_place_of_a_folder_is_to_be_unpacked(lay_out):
    with pytest.raises(UserError, match=r"set.zip: an archive; unpack it, and give its folder"):
        located(lay_out("set.zip") / "set.zip", FORMS, "", "get it")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("58", "58"),
        ("058Y", "58"),
        ("011M", "0"),
        ("030M", "2"),
        ("000Y", ""),
        ("", ""),
        ("old", ""),
        ("Y", ""),
    ],
)
def test_ages_are_in_whole_years(written, meant):
    assert years(written) == meant
