import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from secondread.errors import UserError
from secondread.outputs.temporary_database import CACHE_KIB, TemporaryDatabase, restored, stored


def numbers(most_pages: int | None = None) -> TemporaryDatabase:
    found = TemporaryDatabase("numbers", most_pages)
    found.run("CREATE TABLE numbers (n INTEGER PRIMARY KEY, word)")
    return found


def test_rows_come_back_in_order_though_they_are_more_than_is_held() -> None:
    found = numbers()
    rows = CACHE_KIB
    found.add("INSERT INTO numbers VALUES (?, ?)", ((n, "x" * 1100) for n in range(rows)))
    assert [n for (n,) in found.rows("SELECT n FROM numbers ORDER BY n % 7 DESC, n LIMIT 2")] == [6, 13]
    assert found.one("SELECT COUNT(*), MAX(n) FROM numbers") == (rows, rows - 1)
    found.close()


def test_a_full_disk_is_one_line_that_says_where() -> None:
    found = numbers(most_pages=20)
    with pytest.raises(UserError, match=r"^/\S+: numbers: no room left to write it .*set TMPDIR"):
        found.add("INSERT INTO numbers VALUES (?, ?)", ((n, "x" * 900) for n in range(40_000)))


def test_a_statement_that_is_wrong_is_no_full_disk() -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        numbers().run("DELETE FROM others")


@pytest.mark.parametrize("text", ["a", "é", "caf\udce9.png", "", "a\0b"])
def test_texts_come_back_as_they_were(text: str) -> None:
    found = numbers()
    found.add("INSERT INTO numbers VALUES (?, ?)", [(1, stored(text))])
    assert restored(found.one("SELECT word FROM numbers")[0]) == text


def test_what_is_committed_outlives_its_process_in_a_file_for_its_owner(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with closing(TemporaryDatabase("numbers", kept=kept)) as database:
        database.run("CREATE TABLE numbers (number)")
        database.run("INSERT INTO numbers VALUES (1)")
        database.commit()
        database.run("INSERT INTO numbers VALUES (2)")
    assert kept.stat().st_mode & 0o777 == 0o600
    with closing(TemporaryDatabase("numbers", kept=kept)) as database:
        assert list(database.rows("SELECT number FROM numbers")) == [(1,)]
