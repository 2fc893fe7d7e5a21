"""Several workers collect the same tests at once. Each begins at another folder, so that what one
has compiled (a test with its asserts written out) the others find on disk."""

from __future__ import annotations

from collections.abc import Iterable

import pytest


class InTurn(pytest.Dir):
    """The folder of all tests: a worker's own part of the folders first."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        found = list(super().collect())
        worker = self.config.workerinput  # type: ignore[attr-defined]
        first = int(worker["workerid"].removeprefix("gw")) * len(found) // worker["workercount"]
        return found[first:] + found[:first]


def in_order(items: list[pytest.Item]) -> None:
    """All workers must find the tests in the same order: that of their files."""
    items.sort(key=lambda item: item.path.parts)
