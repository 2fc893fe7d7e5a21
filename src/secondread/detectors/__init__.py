"""Detectors: one method per file, in the folder of its family. A name is the file's: `k_nn.py` is `k-nn`."""

from __future__ import annotations

from pkgutil import iter_modules
from typing import TYPE_CHECKING

from secondread.registry.registry import Registry

if TYPE_CHECKING:
    from secondread.detectors.contract import Detector

NO_FAMILIES = frozenset({"blocks", "contract"})
"""Folders beside the families."""


def _families() -> tuple[str, ...]:
    return tuple(
        f"{__name__}.{module.name}"
        for module in iter_modules(__path__)
        if module.ispkg and module.name not in NO_FAMILIES
    )


DETECTORS: Registry[Detector] = Registry(
    kind="detector",
    kinds="detectors",
    group="secondread.detectors",
    base="secondread.detectors.contract:Detector",
    packages=_families,
    spelt=lambda module: module.replace("_", "-"),
)
find = DETECTORS.find
