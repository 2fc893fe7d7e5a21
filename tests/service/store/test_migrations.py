"""Tables of every version become this version's, whoever starts first, and keep what they hold."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, inspect, text
from sqlalchemy.exc import DBAPIError

from secondread.errors import DataError, UserError
from secondread.service.store.database import Database
from secondread.service.store.jobs import claim, enqueue, now
from secondread.service.store.migrate import STEPS, check_version, migrate
from secondread.service.store.tables import Audit, Study, Table, Worker

LATER = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"


def upgrade() -> None:
    with op.batch_alter_table("study") as study:
        study.add_column(sa.Column("later", sa.Integer(), nullable=True))
        study.alter_column("modality", type_=sa.String(40))
    if {dies}:
        raise KeyboardInterrupt
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'service.sqlite'}"
    else:
        url = request.getfixturevalue("postgres").new_url()
    database = Database(url)
    yield database
    database.close()


def first_step(tmp_path: Path) -> Path:
    """The tables of the first version."""
    steps = tmp_path / "first"
    (steps / "versions").mkdir(parents=True)
    (steps / "versions" / "v0001_first.py").write_text((STEPS / "versions" / "v0001_first.py").read_text())
    return steps


def later_steps(tmp_path: Path, *, dies: bool = False) -> Path:
    """This version's steps and one more."""
    steps = tmp_path / f"steps-{dies}"
    (steps / "versions").mkdir(parents=True)
    files = sorted((STEPS / "versions").glob("v*.py"))
    for file in files:
        (steps / "versions" / file.name).write_text(file.read_text())
    head = files[-1].name[1:5]
    (steps / "versions" / "v9999_later.py").write_text(LATER.format(head=head, dies=dies))
    return steps


def test_the_steps_end_at_the_tables_of_this_version(empty: Database) -> None:
    assert migrate(empty) is True
    assert migrate(empty) is False
    check_version(empty)
    with empty.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert differences(context) == []


def differences(context: MigrationContext) -> list[object]:
    """Between the tables that there are and those of this version. Databases write an index's expressions in
    their own words, so that such an index counts as the same where its name is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*expression-based index")
        found = compare_metadata(context, Table.metadata)
    removed = {one[1].name for one in found if one[0] == "remove_index"}
    added = {
        one[1].name
        for one in found
        if one[0] == "add_index" and any(not isinstance(part, Column) for part in one[1].expressions)
    }
    return [
        one
        for one in found
        if not (one[0] in ("remove_index", "add_index") and one[1].name in removed & added)
    ]


def test_an_upgrade_from_the_first_version_keeps_the_queue_and_all_rows(
    empty: Database, tmp_path: Path
) -> None:
    migrate(empty, steps=first_step(tmp_path))
    with empty.write() as session:
        at = now()
        session.add(Study(id=7, study_uid="1.2", state="waiting", first_received=at, last_received=at))
        session.flush()
        enqueue(session, "score", "7:1", study_id=7, payload={"a": 1})
        session.add(Worker(id="w", host="h", pid=1, role="scorer", beat=0, started=at))
    migrate(empty)
    check_version(empty)
    migrate(empty, steps=later_steps(tmp_path))
    assert "later" in {column["name"] for column in inspect(empty.engine).get_columns("study")}
    job = claim(empty, ["score"], "w")
    assert job is not None
    assert (job.key, job.study_id, job.payload) == ("7:1", 7, {"a": 1})


def test_whoever_dies_while_migrating_leaves_the_tables_as_they_were(empty: Database, tmp_path: Path) -> None:
    migrate(empty)
    with pytest.raises(KeyboardInterrupt):
        migrate(empty, steps=later_steps(tmp_path, dies=True))
    check_version(empty)
    assert "later" not in {column["name"] for column in inspect(empty.engine).get_columns("study")}


def test_two_that_start_at_once_migrate_once(empty: Database) -> None:
    others = [Database(empty.engine.url.render_as_string(hide_password=False)) for _ in range(4)]
    changed: list[bool] = []
    threads = [threading.Thread(target=lambda one=one: changed.append(migrate(one))) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in others:
        one.close()
    assert sorted(changed) == [False, False, False, True]


def test_tables_of_a_newer_version_are_refused_in_one_line(empty: Database, tmp_path: Path) -> None:
    migrate(empty, steps=later_steps(tmp_path))
    for refuse in (migrate, check_version):
        with pytest.raises(UserError, match=r"newer version .*9999.*install that version") as refused:
            refuse(empty)
        assert "\n" not in str(refused.value)


def test_a_database_of_something_else_is_left_alone(empty: Database) -> None:
    with empty.engine.begin() as connection:
        connection.execute(text("CREATE TABLE study (a integer)"))
    with pytest.raises(DataError, match="a database of its own"):
        migrate(empty)
    assert inspect(empty.engine).get_table_names() == ["study"]


@pytest.mark.parametrize("change", ["UPDATE audit SET person = 'b'", "DELETE FROM audit"])
def test_nobody_changes_the_audit(empty: Database, change: str) -> None:
    migrate(empty)
    with empty.write() as session:
        session.add(Audit(at=now(), person="a", action="look", chain=""))
    with pytest.raises(DBAPIError, match="never changed"), empty.write() as session:
        session.execute(text(change))
    if not empty.is_sqlite:
        with pytest.raises(DBAPIError, match="never changed"), empty.write() as session:
            session.execute(text("TRUNCATE audit"))
    with empty.read() as session:
        assert session.query(Audit).one().person == "a"
