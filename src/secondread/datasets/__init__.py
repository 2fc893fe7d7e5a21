"""Public data sets: one converter per file, in the folder of its body part or kind. A name is the file's:
`kermany_cxr.py` is `kermany-cxr`."""

from __future__ import annotations

from pkgutil import iter_modules
from typing import TYPE_CHECKING

from secondread.registry.registry import Registry

if TYPE_CHECKING:
    from secondread.datasets.dataset import Dataset

NO_SETS = frozenset({"layouts"})
"""Folders beside those of converters."""


def _folders() -> tuple[str, ...]:
    return tuple(
        f"{__name__}.{module.name}"
        for module in iter_modules(__path__)
        if module.ispkg and module.name not in NO_SETS
    )


DATASETS: Registry[Dataset] = Registry(
    kind="data set",
    kinds="data sets",
    group="secondread.datasets",
    base="secondread.datasets.dataset:Dataset",
    packages=_folders,
    spelt=lambda module: module.replace("_", "-"),
)
