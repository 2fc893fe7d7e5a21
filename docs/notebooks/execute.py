"""Run the notebooks beside this file and keep their outputs: `python docs/notebooks/execute.py [NAME...]`.

What they make lies in a temporary folder. Each notebook keeps a digest of its cells, by which a test tells
that somebody changed a cell and did not run it again.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

HERE = Path(__file__).parent
KEY = "cells_when_run"


def notebooks() -> list[Path]:
    return sorted(HERE.glob("*.ipynb"))


def digest_of(notebook: NotebookNode) -> str:
    """Of the sources of all cells."""
    text = "\x1e".join(f"{cell.cell_type}\x1f{cell.source}" for cell in notebook.cells)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def executed(path: Path, folder: Path) -> NotebookNode:
    """The notebook with new outputs; what it makes lies in `folder`. Raises CellExecutionError."""
    notebook = nbformat.read(path, as_version=4)
    manager = KernelManager(kernel_name="python3", transport="ipc", ip=str(folder / ".kernel"))
    settings = {"SECONDREAD_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    client = NotebookClient(
        notebook, km=manager, timeout=300, resources={"metadata": {"path": str(folder)}}, record_timing=False
    )
    client.execute(env={**os.environ, **settings}, cleanup_kc=True)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        KEY: digest_of(notebook),
    }
    return notebook


if __name__ == "__main__":
    names = sys.argv[1:]
    for path in notebooks():
        if not names or path.stem in names:
            with tempfile.TemporaryDirectory() as folder:
                nbformat.write(executed(path, Path(folder)), path)
            print(path.name, f"{path.stat().st_size:,} bytes")
