"""Packages as somebody else could install them: code on the path, with or without entry points."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import invalidate_caches
from pathlib import Path

import pytest

from secondread.registry import outside, registry


def install(
    folder: Path,
    module: str,
    code: str,
    patch: pytest.MonkeyPatch,
    *,
    entry_points: Mapping[str, Mapping[str, str]] | None = None,
    version: str = "1.2",
) -> Path:
    """Put a module on the path, under a distribution of its name; the file `imported` is there once its code
    has run."""
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / "imported"
    head = f"from pathlib import Path\nPath({str(marker)!r}).touch()\n"
    (folder / f"{module}.py").write_text(head + code)
    name = module.replace("_", "-")
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text(f"{module}.py,,\n")
    lines = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
        for group, points in (entry_points or {}).items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    patch.syspath_prepend(str(folder))
    forget(module, patch)
    return marker


def forget(module: str, patch: pytest.MonkeyPatch) -> None:
    """As in a new process: the module is not imported, and nobody allowed anything."""
    patch.delitem(sys.modules, module, raising=False)
    patch.setattr(outside, "_allowed", set())
    outside.distribution_of.cache_clear()
    registry._found.cache_clear()
    invalidate_caches()
