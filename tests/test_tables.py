"""Any text through every table, and nothing that a spreadsheet would run."""

import csv
import io
import itertools

import numpy as np
import pytest

from secondread import tables
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.readings.reading import Reading
from secondread.readings.readings import Readings
from secondread.readings.table_writer import Columns, ReadingsTable

ODD = [
    "plain.png",
    "carriage\rreturn.png",
    "line\nfeed.png",
    "both\r\nof them.png",
    "next\x85line\u2028sep\u2029.png",
    "\x0bvertical\x0cform\x1cfeeds.png",
    "a,comma;and semicolon.png",
    'quo"tes".png',
    '"',
    "'",
    "''",
    "'quoted'.png",
    " leading.png",
    "trailing ",
    " ",
    "\t",
    "\r",
    "\n",
    "=1+1.png",
    "'=1+1.png",
    "''=1+1.png",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1:A9)",
    "\uff1d1+1",
    "\t=1+1",
    " =1+1",
    "%41.png",
    "'%41.png",
    "''%41.png",
    "\ufeffbom.png",
    "\ufeff=1+1",
    "a#frame/0",
    "#",
    "-",
    "-0.5",
    "+3",
    "'-0.5",
    "caf\udce9.png",
    "=\udcff%\x85.png",
    "é — 影像.png",
]


@pytest.mark.parametrize("text", ODD)
def test_a_text_comes_back_as_it_was(text):
    rows = [["a", "b"], [text, "x"], ["x", text], [text, text]]
    written = tables.table(rows)
    written.encode("utf-8")
    assert tables.read_text(written) == rows


def test_a_list_written_in_pieces_is_the_same_line():
    for texts in ([], *([text] for text in ODD), *itertools.permutations(ODD, 2), ODD):
        whole = tables.line(["a", "=b", tables.joined(texts)])
        assert "".join(tables.line_with_list(["a", "=b"], texts)) == whole


def test_made_up_texts_come_back():
    letters = "'=+-@% \t\r\n\",;a1.\x85\udce9\ufeff"
    texts = ["".join(each) for n in (1, 2, 3) for each in itertools.product(letters, repeat=n)]
    rows = [[text, "x"] for text in texts]
    assert tables.read_text(tables.table(rows)) == rows
    draw = np.random.default_rng(0)
    texts = ["".join(draw.choice(list(letters), 9)) for _ in range(2000)]
    assert tables.parted(tables.joined(texts)) == texts


@pytest.mark.parametrize("text", ODD)
def test_no_cell_begins_as_a_formula_but_a_number(text):
    ((cell,),) = csv.reader(io.StringIO(tables.line([text]), newline=""))
    begins = cell.lstrip().lstrip("\ufeff").lstrip()[:1]
    assert begins not in tuple("=+-@\uff1d\uff0b\uff0d\uff20") or float(cell) is not None


@pytest.mark.parametrize("number", ["-0.5", "-1e-05", "+3", "-inf", "nan", "0", "-7", "1.25"])
def test_numbers_stay_numbers(number):
    assert tables.line([number]) == number + "\n"


def test_a_list_in_a_cell_may_hold_anything():
    assert tables.parted(tables.joined(ODD)) == ODD
    assert tables.parted(tables.joined([])) == []
    assert tables.joined(["a.png", "b.png"]) == "a.png;b.png"


def test_tables_of_other_programs_are_read_as_usual():
    text = 'path,label\r\n=1.png,normal\r\n\r\n"a\rb",normal\r\n'
    assert tables.read_text(text) == [["path", "label"], ["=1.png", "normal"], ["a\rb", "normal"]]


def test_any_name_goes_through_a_manifest(tmp_path):
    rows = tuple(Row(name, label="normal", mask=name, extra={"=odd": "@x"}) for name in ODD)
    again = Manifest.read(Manifest(rows, tmp_path).write(tmp_path / "m.csv"))
    assert [row.path for row in again.rows] == ODD
    assert [row.mask for row in again.rows] == ODD
    assert [row.extra for row in again.rows] == [{"=odd": "@x"}] * len(ODD)


def test_any_name_goes_through_the_tables_of_readings(tmp_path):
    columns = Columns(("distance",), ())
    for half in (ODD[:20], ODD):
        with ReadingsTable(tmp_path, columns) as table:
            assert table.earlier == (20 if half is ODD else 0)
            for name in half[table.earlier :]:
                facts = {"model": "=HYPERLINK(1)"}
                reading = Reading(name, score=-0.5, parts={"distance": -1e-9}, study_id="@study")
                table.append(reading, facts, np.zeros((16, 16), np.float32))
            table.finish()
    readings = Readings.read(tmp_path)
    assert [row.path for row in readings.rows] == ODD
    assert {(row.score, row.parts["distance"], row.study_id) for row in readings.rows} == {
        (-0.5, -1e-9, "@study")
    }
    assert set(readings.acquisition) == set(readings.thumbnails) == set(ODD)
    assert readings.acquisition["=1+1.png"] == {"model": "=HYPERLINK(1)"}
    assert ",-0.5," in (tmp_path / "readings.csv").read_text(encoding="utf-8")


def test_lines_of_columns_are_those_of_rows():
    plain = [f"{number}.png" for number in range(len(ODD))]
    for columns in (
        [ODD],
        [plain],
        [plain, ODD],
        [ODD, ["", *plain[1:]], plain],
        [["", "a"]],
        [["", "a"]] * 2,
    ):
        assert tables.lines(columns) == tables.table(zip(*columns, strict=True))
    for text in ODD:
        assert not tables.as_written([text, "a"]) or tables.cell_of(text) == text
