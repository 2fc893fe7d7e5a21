"""What the database's errors say, and whose file it is."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from secondread.errors import UserError
from secondread.service.store.database import Database
from secondread.service.store.jobs import now
from secondread.service.store.migrate import migrate
from secondread.service.store.tables import Study


def test_an_error_shows_nothing_of_a_patient(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'service.sqlite'}")
    migrate(database)
    study = {"study_uid": "1", "state": "x", "patient_name": "Doe", "first_received": now()}
    with pytest.raises(IntegrityError, match="UNIQUE") as failed, database.write() as session:
        session.add_all([Study(**study, last_received=now()) for _ in range(2)])
    assert "Doe" not in str(failed.value)


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    migrate(Database(f"sqlite:///{tmp_path / 'service.sqlite'}"))
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


def test_several_connect_to_a_new_file_at_once(tmp_path: Path) -> None:
    for number in range(30):  # one in twelve of them failed, where nobody asked again
        several = [Database(f"sqlite:///{tmp_path / f'{number}.sqlite'}") for _ in range(6)]
        together = threading.Barrier(len(several))

        def connect(database: Database, together: threading.Barrier = together) -> None:
            together.wait()
            database.engine.connect().close()

        with ThreadPoolExecutor(len(several)) as threads:
            list(threads.map(connect, several))
        for database in several:
            database.close()


@pytest.mark.parametrize("url", ["nonsense", "oracle+nothing://x/y", "mysql://x/y"])
def test_an_address_that_is_none_is_refused_with_the_form_of_one(url: str) -> None:
    with pytest.raises(UserError, match=r"write sqlite:///FOLDER/service\.sqlite or"):
        Database(url)
