"""A share of the tests: `--share 3/6` keeps the third of six. Shares are about alike in number, have no test
in common and hold all together."""

from __future__ import annotations

import re

import pytest

from work_units import unit_of

SHARE = re.compile(r"([1-9]\d*)/([1-9]\d*)")


def read_share(text: str) -> tuple[int, int]:
    found = SHARE.fullmatch(text)
    if not found or int(found[1]) > int(found[2]):
        raise pytest.UsageError(f"--share {text}: K/N is wanted, K from 1 to N, as 3/6")
    return int(found[1]), int(found[2])


def share_of(items: list[pytest.Item], text: str) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The tests of the share, and the others. Units, which share what their fixtures make, stay whole and are
    dealt out in the order of their names."""
    number, count = read_share(text)
    units = sorted({unit_of(item.nodeid) for item in items})
    mine = set(units[number - 1 :: count])
    kept = [item for item in items if unit_of(item.nodeid) in mine]
    return kept, [item for item in items if unit_of(item.nodeid) not in mine]
