"""A spool, a database and a configuration, without a service around them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from secondread.service.settings.bundles import BundleSettings
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.database import Database
from secondread.service.store.tables import Table


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    """Of a service that nobody starts."""
    return ServiceSettings(
        spool=tmp_path / "spool", bundles=(BundleSettings(name="none", bundle=tmp_path / "none"),)
    )


@pytest.fixture
def spool(settings: ServiceSettings) -> Spool:
    return Spool(settings.spool)


@pytest.fixture
def database(settings: ServiceSettings, spool: Spool) -> Iterator[Database]:
    found = Database(settings.database_url)
    Table.metadata.create_all(found.engine)
    yield found
    found.close()
