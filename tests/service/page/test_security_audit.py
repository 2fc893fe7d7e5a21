"""The audit: nobody changes what is in it without that being seen."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest
from made_page import Browser, Page, made_page
from postgres_server import PostgresServer
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from secondread.service.store.audit import record, verify
from secondread.service.store.database import Database
from secondread.service.store.migrate import migrate
from secondread.service.store.tables import Audit


@pytest.fixture
def alone(tmp_path: Path) -> Database:
    found = made_page(tmp_path).database
    with found.write() as session:
        for number in range(5):
            record(session, "ada", "viewed", study_uid=f"1.2.{number}", address="127.0.0.1")
    return found


@pytest.mark.parametrize("change", ["UPDATE audit SET person = 'eve' WHERE id = 2", "DELETE FROM audit"])
def test_a_row_is_never_changed_or_removed(alone: Database, change: str) -> None:
    with pytest.raises((IntegrityError, OperationalError)), alone.write() as session:
        session.execute(text(change))
    with alone.read() as session:
        assert verify(session).rows == 5


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("UPDATE audit SET person = 'eve' WHERE id = 2", 2),
        ("UPDATE audit SET at = '2020-01-01 00:00:00.000000' WHERE id = 3", 3),
        ("UPDATE audit SET study_uid = '', detail = study_uid WHERE id = 1", 1),
        ("DELETE FROM audit WHERE id = 3", 4),
        ("DELETE FROM audit WHERE id = 1", 2),
        ("INSERT INTO audit SELECT 9, at, person, action, study_uid, detail, address, chain FROM audit "
         "WHERE id = 5", 9),
    ],
)  # fmt: skip
def test_whoever_takes_the_triggers_away_is_found_out_by_the_chain(
    alone: Database, change: str, broken: int
) -> None:
    with alone.write() as session:
        for name in session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            session.execute(text(f"DROP TRIGGER {name}"))
        session.execute(text(change))
    with alone.read() as session:
        found = verify(session)
        assert (found.broken, found.whole) == (broken, False)


def test_an_end_that_was_cut_off_is_found_out_by_a_head_that_was_noted(alone: Database) -> None:
    with alone.read() as session:
        head = verify(session).head
    with alone.write() as session:
        record(session, "ada", "viewed")
    with alone.read() as session:
        assert verify(session, head).whole
    with alone.write() as session:
        for name in session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            session.execute(text(f"DROP TRIGGER {name}"))
        session.execute(text("DELETE FROM audit WHERE id >= 5"))
    with alone.read() as session:
        assert verify(session).whole, "the chain alone does not know of its end"
        assert not verify(session, head).whole


def write_at_once(database: Database) -> None:
    def write() -> None:
        for _ in range(5):
            with database.write() as session:
                record(session, "bob", "viewed")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_rows_that_are_written_at_once_are_one_chain(alone: Database) -> None:
    write_at_once(alone)
    with alone.read() as session:
        found = verify(session)
        assert (found.rows, found.whole) == (25, True)


def test_in_postgresql_too_they_are_one_chain_and_stay(postgres: PostgresServer) -> None:
    database = Database(postgres.new_url())
    migrate(database)
    write_at_once(database)
    for change in ("UPDATE audit SET person = 'eve'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(DBAPIError), database.write() as session:
            session.execute(text(change))
    with database.read() as session:
        found = verify(session)
        assert (found.rows, found.whole) == (20, True)
    database.close()


def test_text_that_postgresql_cannot_hold_is_a_wrong_request(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    found = made_page(tmp_path, postgres.new_url())
    browser = found.logged_in("administrator")
    assert browser.client.get("/audit", params={"person": "a\x00b"}).status_code == 422
    assert Browser(found.client(), "").log_in("a\x00b", "x") == 422
    found.database.close()


def test_a_row_is_of_the_transaction_that_it_tells_of(alone: Database) -> None:
    with contextlib.suppress(ZeroDivisionError), alone.write() as session:
        record(session, "ada", "threshold")
        _ = 1 / 0
    with alone.read() as session:
        assert session.scalars(select(Audit).where(Audit.action == "threshold")).all() == []


def test_an_administrator_sees_and_filters_it(page: Page) -> None:
    with page.database.write() as session:
        for number in range(120):
            record(session, "ada", "viewed", study_uid=f"1.2.{number}")
    browser = page.logged_in("administrator")
    newest = browser.client.get("/audit")
    assert "1.2.119" in newest.text
    assert "1.2.3<" not in newest.text
    older = newest.text.split("before=")[1].split('"')[0]
    assert "1.2.3<" in browser.client.get("/audit", params={"before": older}).text
    one = browser.client.get("/audit", params={"study": "1.2.7", "person": "ada", "action": "viewed"}).text
    assert "1.2.7<" in one
    assert "1.2.8<" not in one
    with page.database.read() as session:
        last = session.scalars(select(Audit).order_by(Audit.id.desc()).limit(1)).one()
        assert (last.person, last.action) == ("administrator", "audit viewed")
