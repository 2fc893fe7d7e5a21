"""A table of labels that lies on the disk says what one in memory says."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from secondread.cohorts.labels import table as tables
from secondread.cohorts.labels.answers import EachAnswer
from secondread.cohorts.labels.stored_rows import StoredRows
from secondread.cohorts.labels.table import LabelTable
from secondread.outputs.temporary_database import TemporaryDatabase

TEXT = 'image;says\r\nb;"two\r\nlines"\r\n\r\na;ok\r\nb;Ödem|ok\na;ok\nb;"two\r\nlines"\nc;\u2028\n'


@pytest.mark.parametrize("at_once", [1, 3, 1 << 20])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_rows_and_answers_are_those_of_a_table_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, encoding: str
) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(TEXT.encode(encoding))
    held = LabelTable.read(path)
    monkeypatch.setattr(tables, "_AT_ONCE", at_once)
    with closing(TemporaryDatabase("a test")) as database:
        table = LabelTable.read(path, database)
        assert isinstance(table.rows, StoredRows)
        assert (list(table.rows), table.notes) == (list(held.rows), held.notes)
        assert table.rows[1] == held.rows[1]
        said = [EachAnswer(one, "image", label_column="says", normal=["ok"]) for one in (table, held)]
        assert list(said[0]) == list(said[1])
        assert said[0].notes() == said[1].notes()


def test_rows_of_one_image_follow_one_another_in_the_order_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(TEXT)
    with closing(TemporaryDatabase("a test")) as database:
        table = LabelTable.read(path, database)
        assert isinstance(table.rows, StoredRows)
        lines = [[row.line for row in rows] for rows in table.rows.by_cell("image")]
    held = LabelTable.read(path).rows
    assert lines == [[row.line for row in held if row["image"] == image] for image in "bac"]
