"""Tables of labels as they come: their kind, encoding and columns are known or refused with the remedy."""

import builtins

import pytest

from secondread.cohorts.labels.table import LabelTable
from secondread.errors import UserError


def written(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def cells(table):
    return [tuple(row[name] for name in table.columns) for row in table.rows]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'image,label\nx.png,"nodule, left"\n'),
        ("a.csv", "image;label\nx.png;nodule, left\n"),
        ("a.tsv", "image\tlabel\nx.png\tnodule, left\n"),
        ("a.txt", "image\tlabel\r\nx.png\tnodule, left\r\n\r\n"),
        ("a.csv", "sep=;\nimage;label\nx.png;nodule, left\n"),
        ("a.csv", '"sep=;"\r\nimage;label\r\nx.png;nodule, left\r\n'),
        ("a.csv", "image;label\rx.png;nodule, left\r"),
    ],
)
def test_text_is_read_whatever_separates_its_columns(tmp_path, name, text):
    table = LabelTable.read(written(tmp_path, name, text))
    assert (table.columns, cells(table)) == (("image", "label"), [("x.png", "nodule, left")])


def test_utf16_that_says_so_is_read_and_told(tmp_path):
    table = LabelTable.read(written(tmp_path, "a.txt", "image\tlabel\nÖ.png\tnormal\n", "utf-16"))
    assert cells(table) == [("Ö.png", "normal")]
    assert table.notes == (f"{tmp_path}/a.txt: read as UTF-16",)


@pytest.mark.parametrize(
    ("text", "encoding", "told"),
    [
        ("image,label\nMüller.png,normal\n", "cp1252", "cp1252"),
        ("bild;befund\na.png;unauffällig\nb.png;Mäss\n", "cp1252", "cp1252"),
        ("id,diagnóstico\n1,lesión\n2,ninguna\n", "cp1252", "cp1252"),
        ("id,диагноз\n1,норма\n2,опухоль\n", "cp1251", "cp1251"),
        ("图像,标签\na.png,正常\nb.png,异常\n", "gb18030", "gb18030"),
        ("画像,ラベル\na.png,正常\nb.png,異常\n", "shift_jis", "cp932"),
    ],
)
def test_another_encoding_is_refused_with_what_it_looks_like_and_the_command(tmp_path, text, encoding, told):
    path = written(tmp_path, "labels.csv", text, encoding)
    with pytest.raises(UserError) as refused:
        LabelTable.read(path)
    line = str(refused.value)
    assert f"it looks like {told}" in line
    assert f"iconv -f {told} -t utf-8 {path} > {tmp_path}/labels-utf8.csv" in line
    assert "\n" not in line


def test_excel_and_parquet_are_read_as_text(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "image": ["a", "b"],
            "grade": [0.0, 2.5],
            "sex": ["F", None],
            "seen": pandas.to_datetime(["2020-01-02"] * 2),
        }
    )
    frame.to_excel(tmp_path / "labels.xlsx", index=False)
    frame.to_parquet(tmp_path / "labels.parquet", index=False)
    expected = [("a", "0", "F", "2020-01-02"), ("b", "2.5", "", "2020-01-02")]
    assert cells(LabelTable.read(tmp_path / "labels.xlsx")) == expected
    assert cells(LabelTable.read(tmp_path / "labels.parquet")) == expected
    assert cells(LabelTable.of(frame)) == expected
    assert cells(LabelTable.of(frame.astype({"sex": "string"}))) == expected


@pytest.mark.parametrize(("start", "package"), [(b"PK\x03\x04....", "openpyxl"), (b"PAR1....", "pyarrow")])
def test_a_missing_package_is_named_with_the_line_that_installs_it(tmp_path, monkeypatch, start, package):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *rest, **more)

    path = tmp_path / "labels.xlsx"
    path.write_bytes(start)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=rf"needs {package}: pip install .*\[tables\]"):
        LabelTable.read(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,a\n1,2\n", "line 1, column a: this column stands twice"),
        ("a,,b\n1,2,3\n", "line 1: column 2 has no name"),
        ("a,b\n1,2,3\n", "line 2: 3 cells where the header has 2"),
        ("a,b\n", "no line below the header"),
        ("", "the file is empty"),
        ('a,b\n1,"2\n', "not readable as CSV"),
        ("sep=,\na,b\n1\n", "line 3: 1 cells where the header has 2"),
        ("Export of March;\n\na;b\n1;2\n", "line 3: 2 cells .* remove what stands above these names"),
        ("a,b\n1,2\n\0\0\0\n", "bytes of value 0"),
    ],
)
def test_a_broken_table_is_one_line(tmp_path, text, told):
    with pytest.raises(UserError, match=told):
        LabelTable.read(written(tmp_path, "a.csv", text))


@pytest.mark.parametrize("mark", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_a_cell_may_hold_marks_that_end_no_line_of_a_file(tmp_path, mark):
    table = LabelTable.read(written(tmp_path, "a.csv", f"image,note,label\nx.png,one{mark}two,normal\n"))
    assert cells(table) == [("x.png", f"one{mark}two", "normal")]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_that_does_not_say_so_is_named(tmp_path, encoding):
    path = written(tmp_path, "a.csv", "image,label\nx.png,normal\n", encoding)
    with pytest.raises(UserError, match=f"it looks like {encoding}; .*iconv -f {encoding}"):
        LabelTable.read(path)


def test_an_error_of_a_workbook_says_which_sheet_was_read(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "Readme"
    book.active.append(["about this table"])
    book.create_sheet("labels").append(["image", "label"])
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(UserError, match=r"no line below the header.*of 2 sheets the first, Readme, is read"):
        LabelTable.read(tmp_path / "a.xlsx")


def test_a_folder_a_missing_file_and_a_damaged_workbook_say_what_to_do(tmp_path):
    written(tmp_path, "labels.csv", "a,b\n1,2\n")
    (tmp_path / "b.xlsx").write_bytes(b"PK\x03\x04 damaged")
    for name, told in [
        (".", "a folder, where a table of labels was meant"),
        ("label.csv", "did you mean labels.csv?"),
        ("b.xlsx", "no Excel file that can be read"),
    ]:
        with pytest.raises(UserError, match=told):
            LabelTable.read(tmp_path / name)


def test_a_column_is_found_in_another_spelling_and_near_names_are_said(tmp_path):
    table = LabelTable.read(written(tmp_path, "a.csv", "Image Index,Finding Labels\na.png,x\n"))
    assert table.column("image_index") == "Image Index"
    with pytest.raises(UserError, match="did you mean Finding Labels"):
        table.column("finding_label")
