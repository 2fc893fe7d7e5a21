"""Packages beyond the plain installation that a recipe's detector runs with. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondread.recipes.named_encoders import encoders_of

BY_A_PACKAGE = {"transformers": "transformers"}
"""Encoders by the package that builds them, which is an extra of the same name."""
PYOD = ("hbos", "ecod", "copod", "cblof", "pca")
"""Models of the detector `classic` that are PyOD's."""


def pyod_model(detector: Mapping[str, Any]) -> str:
    """The outlier model of PyOD that the detector is; empty where it is none."""
    model = detector.get("model")
    model = model.get("name") if isinstance(model, Mapping) else model
    return str(model) if detector.get("name") == "classic" and model in PYOD else ""


def packages_needed(detector: Mapping[str, Any]) -> list[str]:
    """Extras by which they are installed, such as `pyod`, sorted.

    >>> packages_needed({"name": "classic", "model": "ecod"}), packages_needed({"name": "ae"})
    (['pyod'], [])
    """
    names = {BY_A_PACKAGE.get(str(encoder.get("name"))) for encoder in encoders_of(detector)}
    return sorted({name for name in names if name} | ({"pyod"} if pyod_model(detector) else set()))
