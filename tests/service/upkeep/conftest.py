"""A service in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from upkeep_service import Service, made


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    found = made(tmp_path)
    yield found
    found.database.close()
