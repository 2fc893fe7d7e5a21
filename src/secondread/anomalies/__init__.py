"""Synthetic anomalies: one way of making them per file. `find` imports only the one that is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secondread.anomalies.anomaly import MakeAnomalies

ANOMALIES = {
    "blobs": "secondread.anomalies.blobs:Blobs",
    "fpi": "secondread.anomalies.fpi:ForeignPatches",
}


def find(name: str) -> type[MakeAnomalies]:
    """The way of making anomalies called `name`; `KeyError` with the known names where there is none."""
    if name not in ANOMALIES:
        raise KeyError(f"no anomalies are called {name!r}; there are {', '.join(sorted(ANOMALIES))}")
    module, attribute = ANOMALIES[name].split(":")
    return getattr(import_module(module), attribute)
