"""Synthetic anomalies: one way of making them per file of `kinds/`, named as its file is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secondread.registry.registry import Registry

if TYPE_CHECKING:
    from secondread.anomalies.anomaly import MakeAnomalies

ANOMALIES: Registry[MakeAnomalies] = Registry(
    kind="anomaly",
    kinds="kinds of anomalies",
    group="secondread.anomalies",
    base="secondread.anomalies.anomaly:MakeAnomalies",
    packages=lambda: (f"{__name__}.kinds",),
)
find = ANOMALIES.find
