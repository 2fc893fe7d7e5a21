"""What the parent does in the database after a process died."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from secondread.service.processes import caretaker
from secondread.service.spool.files import Spool
from secondread.service.store.database import Database
from secondread.service.store.migrate import migrate


def test_what_a_dead_receiver_left_without_a_row_goes_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caretaker, "SOON_S", 0.1)
    spool, database = Spool(tmp_path / "spool"), Database(f"sqlite:///{tmp_path / 'service.sqlite'}")
    migrate(database)
    left_before = left_over(spool, "01")
    with caretaker.Caretaker(database, spool) as care:
        assert goes(left_before)  # the sweep of the start
        left_now = left_over(spool, "23")
        care.died("receiver-0-00000000", "receiver", 1)
        assert goes(left_now)
    database.close()


def left_over(spool: Spool, name: str) -> Path:
    """A file that is whole and that no row names."""
    path = spool.instances / name / f"{name}abcd" / "ef" / "0123-4567.dcm"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"an instance")
    return path


def goes(path: Path) -> bool:
    until = time.monotonic() + 30
    while path.exists() and time.monotonic() < until:
        time.sleep(0.02)
    return not path.exists()
