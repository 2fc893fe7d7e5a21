from __future__ import annotations

from collections.abc import Iterator

import pytest
from made_page import Page, made_page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    found = made_page(tmp_path_factory.mktemp("page"))
    yield found
    found.database.close()
