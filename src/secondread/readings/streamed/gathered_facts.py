"""`acquisition.csv` and `thumbnails.npz` made of `facts.jsonl`, line by line."""

from __future__ import annotations

import base64
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from secondread import tables
from secondread.outputs.whole import whole_output
from secondread.readings.reading import as_text
from secondread.readings.streamed.facts_file import FactsFile
from secondread.readings.table_reader import FACTS

SIDE = 16


def write_gathered(folder: Path) -> None:
    """Write both from all facts so far. Raises UserError for a full disk."""
    with (
        FactsFile(folder / FACTS) as facts,
        whole_output(folder / "acquisition.csv") as table,
        whole_output(folder / "thumbnails.npz") as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        count, text = len(facts), np.dtype(f"U{max(map(len, facts.paths), default=1)}")
        _array(archive, "paths", text, (count,), (np.array([path], text) for path in facts.paths))
        pictures = _pictures(facts, table, sorted(facts.names))
        _array(archive, "thumbnails", np.dtype("<f4"), (count, SIDE, SIDE), pictures)


def _pictures(facts: FactsFile, table: BinaryIO, names: Sequence[str]) -> Iterator[NDArray[np.float32]]:
    """The thumbnails; on the way the table of all else is written."""
    table.write(tables.line(["path", *names]).encode())
    for line in facts:
        told = line["facts"]
        table.write(tables.line([line["path"], *(as_text(told.get(name)) for name in names)]).encode())
        yield _picture(line["thumbnail"])


def _picture(text: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(SIDE, SIDE)


def _array(
    archive: zipfile.ZipFile,
    name: str,
    kind: np.dtype[np.generic],
    shape: tuple[int, ...],
    pieces: Iterable[NDArray[np.generic]],
) -> None:
    """One array as `numpy.savez_compressed` writes it."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        said = {"descr": npy.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(file, said)
        for piece in pieces:
            file.write(piece.tobytes())
