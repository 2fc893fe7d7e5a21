"""Fits, readings and evaluations by the command line, one row of a results table each; resumable."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """OUT/NAME is the bundle, OUT/NAME-s the readings of the test split, OUT/NAME-r their report."""

    name: str
    recipe: str
    seed: int
    settings: tuple[str, ...]


def run(row: Row, manifest: Path, out: Path, *, maps: bool = False) -> None:
    """Fit, score and evaluate, where that has not been done."""
    bundle = out / row.name
    if metrics(row.name, out) is not None:
        return
    settings = [part for setting in row.settings for part in ("--set", setting)]
    if not bundle.exists():
        fit = ["fit", row.recipe, str(manifest), "-o", str(bundle), "--seed", str(row.seed)]
        command([*fit, *settings])
    scored, report = out / f"{row.name}-s", out / f"{row.name}-r"
    mapped = ["--maps"] if maps else []
    command(["score", str(bundle), str(manifest), "--where", "split=test", "-o", str(scored), *mapped])
    command(["evaluate", str(scored / "readings.csv"), str(manifest), "-o", str(report)])


def command(arguments: Sequence[str]) -> None:
    call = "from secondread.cli.main import main; main()"
    subprocess.run([sys.executable, "-c", call, *arguments, "--quiet"], check=True)


def metrics(name: str, out: Path) -> dict[str, Any] | None:
    """`metrics.json` of a row, or None."""
    path = out / f"{name}-r" / "metrics.json"
    return json.loads(path.read_text()) if path.exists() else None
