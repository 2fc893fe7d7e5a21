"""anomalib's own environment: made in a folder that is given, and never mixed with this project's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = ("torch===2.13.0", "torchvision===0.28.0", "anomalib==2.7.0")
"""torchvision's public builds belong to PyTorch's with CUDA, whose version is written without a suffix; `===`
refuses builds for the CPU alone, for which there is no torchvision on PyPI."""
NEEDED_BYTES = 8 * 10**9
"""The environment takes 5.6 GB; its parts are there twice while it is made."""


class NoEnvironment(Exception):
    """Why there is none, in one line."""


def python_of(folder: Path) -> Path:
    """The interpreter of the environment in `folder`, which is made where it is not whole. `NoEnvironment`
    where there is no room or no package index."""
    python, whole = folder / "bin" / "python", folder / "whole"
    if whole.exists() and whole.read_text() == "\n".join(REQUIREMENTS):
        return python
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise NoEnvironment(f"{folder}: {free / 1e9:.0f} GB are free, {NEEDED_BYTES / 1e9:.0f} GB are needed")
    _run([sys.executable, "-m", "venv", str(folder)])
    _run([str(python), "-m", "pip", "install", "--quiet", "--no-cache-dir", *REQUIREMENTS])
    whole.write_text("\n".join(REQUIREMENTS))
    return python


def _run(command: list[str]) -> None:
    print(" ".join(command), flush=True)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise NoEnvironment(said[-1] if said else f"{command[0]} ended with code {done.returncode}")
