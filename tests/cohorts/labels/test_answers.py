"""What a table says of images: one column of words, or one for each finding, on one row or several."""

import pytest

from secondread.cohorts.labels.answers import EachAnswer
from secondread.cohorts.labels.table import LabelTable
from secondread.errors import UserError


def read(folder, text):
    path = folder / "labels.csv"
    path.write_text(text)
    return LabelTable.read(path)


def told(found):
    return {image: (answer.label, answer.finding) for image, answer in found.of.items()}


def test_values_that_are_not_normal_are_findings_and_empty_is_unlabelled(tmp_path):
    table = read(tmp_path, "i,l\na,No Finding\nb,Edema|Mass\nc,\nd,healthy\ne,unclear\nf,No Finding|Mass\n")
    found = EachAnswer(
        table, "i", label_column="l", normal=["no finding", "healthy"], unknown=["unclear"]
    ).together()
    assert told(found) == {
        "a": ("normal", ""),
        "b": ("abnormal", "Edema; Mass"),
        "c": ("", ""),
        "d": ("normal", ""),
        "e": ("", ""),
        "f": ("abnormal", "Mass"),
    }
    assert found.notes == (
        f"{table.source}: these values of column l are findings: Mass (2), Edema (1)",
        f"{table.source}: 2 images without a sure label, unlabelled: c, e",
    )


def test_words_that_often_mean_something_else_are_told_with_the_option(tmp_path):
    table = read(tmp_path, "i,l\na,normal\nb,healthy\nc,NA\nd,mass\n")
    notes = EachAnswer(table, "i", label_column="l", normal=["normal"]).together().notes
    assert [note for note in notes if "that often mean" in note] == [
        f"{table.source}: values of column l that often mean normal were read as abnormal: healthy; "
        "if they do here, add --normal healthy",
        f"{table.source}: values of column l that often mean not known were read as abnormal: NA; "
        "if they do here, add --unlabelled NA",
    ]


def test_marks_may_have_decimal_commas_and_nan_for_an_empty_cell(tmp_path):
    table = read(tmp_path, "i;m;n;none\na;1,0;NaN;0,0\nb;0,0;nan;1,0\nc;0,0;0,0;0,0\n")
    found = EachAnswer(table, "i", finding_columns=["m", "n"], normal=["none"]).together()
    assert told(found) == {"a": ("abnormal", "m"), "b": ("normal", ""), "c": ("", "")}


def test_numbers_are_compared_as_numbers_and_name_classes(tmp_path):
    two = EachAnswer(read(tmp_path, "i,l\na,0.0\nb,1\n"), "i", label_column="l", normal=["0"]).together()
    assert told(two) == {"a": ("normal", ""), "b": ("abnormal", "")}
    many = EachAnswer(
        read(tmp_path, "i,l\na,14\nb,1\nc,3\n"), "i", label_column="l", normal=["14"]
    ).together()
    assert told(many)["c"] == ("abnormal", "class-3")


def test_several_rows_of_an_image_are_one_answer(tmp_path):
    table = read(tmp_path, "i,l,x\na,mass,1\na,mass,2\na,mass,2\nb,none,\nb,none,\nc,none,1\nc,mass,2\n")
    found = EachAnswer(table, "i", label_column="l", normal=["none"]).together()
    assert told(found) == {"a": ("abnormal", "mass"), "b": ("normal", ""), "c": ("", "")}
    assert {image: len(rows) for image, rows in found.rows.items()} == {"a": 2, "b": 1, "c": 2}
    assert "1 image called both normal and abnormal, unlabelled: c" in found.notes[-1]


def test_a_column_for_each_finding_as_isic_has_them(tmp_path):
    table = read(tmp_path, "image,MEL,NV,BKL\na,1.0,0.0,0.0\nb,0.0,1.0,0.0\nc,0.0,0.0,0.0\n")
    found = EachAnswer(table, "image", finding_columns=["MEL", "NV", "BKL"], normal=["nv"]).together()
    assert told(found) == {"a": ("abnormal", "MEL"), "b": ("normal", ""), "c": ("", "")}


def test_uncertain_and_empty_marks_as_chexpert_has_them(tmp_path):
    table = read(tmp_path, "p,No Finding,Edema,Mass\na,1,,\nb,,-1,1\nc,,-1,\nd,1,-1,\ne,,0,0\n")
    found = EachAnswer(table, "p", finding_columns=["Edema", "Mass"], normal=["No Finding"]).together()
    assert told(found) == {
        "a": ("normal", ""),
        "b": ("abnormal", "Mass"),
        "c": ("", ""),
        "d": ("", ""),
        "e": ("", ""),
    }
    none = EachAnswer(
        table, "p", finding_columns=["Edema", "Mass"], normal=["No Finding"], normal_where_none=True
    ).together()
    assert told(none)["e"] == ("normal", "")


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ({"label_column": "l"}, "which value of column l means normal.* it holds mass, none"),
        ({"label_column": "l", "normal": ["ok"]}, "no cell of column l is ok; it holds mass"),
        ({"label_column": "z", "normal": ["ok"]}, "no column 'z'"),
        ({"finding_columns": ["l"]}, "line 2, column l: 'mass' is none of 1, 0, -1 or empty"),
        ({}, "say where labels are"),
    ],
)
def test_what_was_not_said_or_does_not_fit_is_refused(tmp_path, how, line):
    with pytest.raises(UserError, match=line):
        EachAnswer(read(tmp_path, "i,l\na,mass\nb,none\n"), "i", **how).together()
