"""Fixtures of tests of compiled code, which a module names `COMPILED`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Its kernel in float32, which is taken without a trial; the test is skipped where there is none."""
    import torch

    from secondread.networks.native.build import SWITCH

    code = request.module.COMPILED
    monkeypatch.setenv(SWITCH, "1")
    kernel = code.native(torch.float32)
    if kernel is None:
        pytest.skip(code.why_not(torch.float32))
    return kernel


@pytest.fixture
def calls(compiled: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What each call of the kernel is given, by place."""
    made: list[tuple[Any, ...]] = []
    kind = type(compiled)
    run = kind.__call__

    def noted(*given: Any, **named: Any) -> Any:
        made.append(given)
        return run(*given, **named)

    monkeypatch.setattr(kind, "__call__", noted)
    return made


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets how many threads torch has, for this test."""
    import torch

    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
