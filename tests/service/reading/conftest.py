from collections.abc import Iterator

import pytest
from reading_service import Bundles, service_of

from secondread.bundles.bundle import Bundle
from secondread.service.reading.at_work import at_work


@pytest.fixture(scope="session")
def bundles(fitted: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundles]:
    """The bundle of most tests at work, loaded once."""
    with at_work(service_of(tmp_path_factory.mktemp("bundles"), fitted).settings) as found:
        yield found
