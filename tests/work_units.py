"""Which tests go to one worker together, where pytest runs on several, and into one share of `--share`."""

from __future__ import annotations

import re

import pytest
from xdist.scheduler import LoadScopeScheduling

LAW = re.compile(r"laws/test_(?:laws|gpu)\.py::\w+\[(?:float32-|bf16-)?(?P<case>[a-z0-9-]+-[23]d)\]$")
OF_THE_SOURCE = ("tests/test_rooms.py", "tests/test_requirements.py")
"""They read the imports of all files, which a process finds once."""
PAGE = re.compile(r"docs/test_(?:notebooks|shell_blocks)\.py::\w+\[(?P<case>.+)\]$")


def unit_of(nodeid: str) -> str:
    """The tests of a file together, so that what its fixtures make is made once; of the laws, those of each
    detector and rank together, so that it is fitted once; and each page or notebook that is run by itself."""
    file = nodeid.partition("::")[0]
    if file in OF_THE_SOURCE:
        return OF_THE_SOURCE[0]
    apart = LAW.search(nodeid) or PAGE.search(nodeid)
    return f"{file}::{apart['case']}" if apart else file


class ByFile(LoadScopeScheduling):
    """A unit to a worker."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def long_units_first(items: list[pytest.Item]) -> None:
    """Files with slow tests first and the laws last, which are many short units: so no worker is left with a
    long one while the others have nothing to do any more."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, item.path.name == "test_laws.py"))
