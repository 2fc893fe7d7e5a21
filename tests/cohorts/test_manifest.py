import csv
from pathlib import Path

import pytest

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.errors import UserError


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "manifest.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_every_column_is_read_and_the_others_are_kept(tmp_path):
    path = written(
        tmp_path,
        "path,split,label,finding,patient_id,study_id,mask,view\n"
        "a.png,train,normal,,p1,s1,,PA\n"
        '"b,1.png",test,Abnormal,"nodule; effusion",p2,s2,m/b.png,AP\n',
    )
    first, second = Manifest.read(path).rows
    assert first == Row("a.png", "train", "normal", "", "p1", "s1", "", {"view": "PA"})
    assert (second.path, second.label, second.findings) == ("b,1.png", "abnormal", ("nodule", "effusion"))
    assert second.value("view") == "AP"
    assert second.value("mask") == "m/b.png"


def test_missing_columns_are_empty(tmp_path):
    (row,) = Manifest.read(written(tmp_path, "path\na.png\n")).rows
    assert row == Row("a.png")


def test_byte_order_mark_windows_line_ends_and_blank_lines_do_no_harm(tmp_path):
    path = written(tmp_path, b"\xef\xbb\xbfpath,label\r\n\r\na.png,normal\r\n\r\n")
    assert [row.path for row in Manifest.read(path).rows] == ["a.png"]


def test_empty_columns_that_a_spreadsheet_leaves_at_the_end_do_no_harm(tmp_path):
    rows = Manifest.read(written(tmp_path, "path,label,,\na.png,normal,,\nb.png,abnormal,,\n")).rows
    assert [(row.path, row.label) for row in rows] == [("a.png", "normal"), ("b.png", "abnormal")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty"]),
        ("path,label,,\na.png,normal,x,\n", ["line 2", "4 cells", "2 columns"]),
        ("path,label\na.png,normal\n".encode("utf-16-le"), ["looks like utf-16-le", "iconv"]),
        ("path,label\n", ["empty"]),
        ("\n\n", ["empty"]),
        ("file,label\na.png,normal\n", ["line 1", "no column path"]),
        ("path;label\na.png;normal\n", ["line 1", "commas"]),
        ("path,label,label\na.png,normal,\n", ["line 1", "column label", "twice"]),
        ("path,split\na.png,train\nb.png,training\n", ["line 3", "column split", "'training'", "validation"]),
        ("path,label\na.png,sick\n", ["line 2", "column label", "'sick'"]),
        ("path,label\na.png,normal,1\n", ["line 2", "3 cells", "2 columns"]),
        ("path,label\na.png\n", ["line 2", "1 cells"]),
        ("path,label\n,normal\n", ["line 2", "column path", "empty"]),
        ("path\na.png\nb.png\na.png\n", ["line 4", "column path", "a.png", "line 2"]),
        ("path,split\na,\na,\nb,training\n", ["line 3", "a is already on line 2"]),
        ("path,split\na,\nb,training\na,\n", ["line 3", "'training'"]),
        ('path,split\na,\na,\nb,"open\n', ["line 3", "a is already on line 2"]),
        (b"path,finding\na.png,l\xe9sion\n", ["UTF-8"]),
        ('path,finding\na.png,"open\n', ["line", "CSV"]),
    ],
)
def test_errors_say_file_line_and_column_in_one_line(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(UserError) as caught:
        Manifest.read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("written_as", "column"),
    [
        ("Path", "path"),
        ("Split", "split"),
        ("LABEL", "label"),
        ("Findings", "finding"),
        ("PatientID", "patient_id"),
        ("Patient Id", "patient_id"),
        ("subject-id", "patient_id"),
        ("StudyInstanceUID", "study_id"),
        ("Mask", "mask"),
    ],
)
def test_a_column_in_another_spelling_is_read_and_said(tmp_path, written_as, column):
    values = {"path": "a.png", "split": "train", "label": "normal"}
    head = [written_as if name == column else name for name in dict.fromkeys([*values, column])]
    cells = [values.get(name, "x") for name in dict.fromkeys([*values, column])]
    manifest = Manifest.read(written(tmp_path, f"{','.join(head)}\n{','.join(cells)}\n"))
    assert manifest.rows[0].value(column) == values.get(column, "x")
    assert manifest.rows[0].extra == {}
    (note,) = manifest.notes
    assert note.endswith(f"column {written_as} is read as {column}")


def test_a_column_of_the_right_name_leaves_others_as_they_are(tmp_path):
    manifest = Manifest.read(written(tmp_path, "path,patient_id,PatientID,Patient\na.png,p1,q,r\n"))
    assert manifest.rows[0].patient_id == "p1"
    assert manifest.rows[0].extra == {"PatientID": "q", "Patient": "r"}
    assert manifest.notes == ()


def test_two_columns_that_may_be_one_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"line 1: columns Patient and PatientID both look like patient_id"):
        Manifest.read(written(tmp_path, "path,Patient,PatientID\na.png,1,2\n"))


def test_a_wrong_word_in_a_column_of_another_spelling_names_it_as_written(tmp_path):
    with pytest.raises(UserError, match=r"line 2, column Label \(read as label\): '1' is none of normal"):
        Manifest.read(written(tmp_path, "path,Label\na.png,1\n"))


def test_a_column_that_says_splits_under_another_name_is_hinted_at(tmp_path):
    manifest = Manifest.read(written(tmp_path, "path,subset,class\na,Train,normal\nb,Test,abnormal\n"))
    assert [row.split for row in manifest.rows] == ["", ""]
    assert [note.partition(": ")[2] for note in manifest.notes] == [
        "column subset says test, train, and no column is called split; "
        "rename it to split if that is what it means",
        "column class says abnormal, normal, and no column is called label; "
        "rename it to label if that is what it means",
    ]


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.csv: no such manifest"):
        Manifest.read(tmp_path / "nowhere.csv")


def test_references_hold_from_anywhere_and_keep_members(tmp_path):
    path = written(tmp_path, "path,mask\nx.npz#train_images/3,\n/elsewhere/a.png,m/a.png\n")
    manifest = Manifest.read(path)
    first, second = manifest.rows
    assert manifest.reference(first) == str(tmp_path / "x.npz#train_images/3")
    assert manifest.mask_reference(first) is None
    assert manifest.reference(second) == "/elsewhere/a.png"
    assert manifest.mask_reference(second) == str(tmp_path / "m/a.png")


def test_writing_elsewhere_rewrites_relative_paths(tmp_path):
    manifest = Manifest.read(written(tmp_path, "path,mask,site\nimages/a.png,m/a.png,B\n/b.png,,C\n"))
    moved = Manifest.read(manifest.write(tmp_path / "out" / "deep" / "m.csv"))
    assert [row.path for row in moved.rows] == ["../../images/a.png", "/b.png"]
    assert Path(moved.reference(moved.rows[0])).resolve() == tmp_path / "images/a.png"
    assert moved.rows[0].mask == "../../m/a.png"
    assert moved.rows[1].extra == {"site": "C"}


def test_what_is_written_reads_back_equal(tmp_path):
    rows = (
        Row("a,b.png", "train", "normal", 'x "y"', "p", "s", "", {"age": "7", "note": "two\nlines"}),
        Row("c.png"),
    )
    manifest = Manifest(rows, tmp_path)
    again = Manifest.read(manifest.write(tmp_path / "m.csv"))
    assert again.rows[0] == rows[0]
    assert again.rows[1].path == "c.png"
    assert again.digest == manifest.digest


@pytest.mark.parametrize(
    ("conditions", "left"),
    [
        (["view=PA"], "ac"),
        (["view=PA|LAT"], "acd"),
        (["view!=PA"], "bd"),
        (["age>=18"], "ab"),
        (["age<18", "view=PA"], "c"),
        (["age="], "d"),
        (["split=train"], "abcd"),
    ],
)
def test_filters_keep_the_rows_that_meet_all_conditions(tmp_path, conditions, left):
    text = "path,split,view,age\na,train,PA,40\nb,train,AP,18\nc,train,PA,7\nd,train,LAT,\n"
    assert "".join(r.path for r in Manifest.read(written(tmp_path, text)).where(*conditions).rows) == left


@pytest.mark.parametrize(
    ("condition", "words"),
    [("view", "'view'"), ("veiw=PA", "no column 'veiw'"), ("age>old", "'old'"), ("view=XX", "no row meets")],
)
def test_a_filter_that_cannot_work_is_quoted(tmp_path, condition, words):
    with pytest.raises(UserError, match=words):
        Manifest.read(written(tmp_path, "path,view,age\na,PA,4\n")).where(condition)


def test_a_hundred_thousand_rows_are_read_in_seconds(tmp_path):
    path = tmp_path / "big.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "split", "label", "patient_id"])
        writer.writerows([f"{i}.png", "train", "normal", f"p{i // 3}"] for i in range(100_000))
    assert len(Manifest.read(path).rows) == 100_000
