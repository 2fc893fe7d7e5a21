"""torch's modes as this package needs them, whatever whoever calls it has set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def own_modes(device: torch.device | str = "cpu") -> Iterator[None]:
    """Within it there is no `inference_mode`, `no_grad` or `autocast` of the caller's: the first would make
    parameters that nobody can train or keep track of, the last other scores than those of the calibration."""
    with torch.inference_mode(False), torch.enable_grad(), _no_autocast(torch.device(device).type):
        yield


@contextmanager
def _no_autocast(kind: str) -> Iterator[None]:
    """By its switches, and no further `torch.autocast`: within one, the rounded weights that another keeps
    are kept beyond its end, and a training step would see those of an earlier one. So none are kept where
    the caller has one."""
    if not torch.is_autocast_enabled(kind):
        yield
        return
    kept = torch.is_autocast_cache_enabled()
    torch.set_autocast_enabled(kind, False)
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(kept)
        torch.set_autocast_enabled(kind, True)
