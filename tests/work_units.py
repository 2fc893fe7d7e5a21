"""Which tests go to one worker together, where pytest runs on several."""

from __future__ import annotations

import re

import pytest
from xdist.scheduler import LoadScopeScheduling

LAW = re.compile(r"laws/test_(?:laws|gpu)\.py::\w+\[(?:float32-|bf16-)?(?P<detector>[a-z0-9-]+-[23]d)\]$")


class ByFile(LoadScopeScheduling):
    """The tests of a file together, so that what its fixtures make is made once; of the laws, those of each
    detector and rank together, so that it is fitted once."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        law = LAW.search(nodeid)
        return f"{file}::{law['detector']}" if law else file


def long_units_first(items: list[pytest.Item]) -> None:
    """Files with slow tests first and the laws last, which are many short units: so no worker is left with a
    long one while the others have nothing to do any more."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, item.path.name == "test_laws.py"))
