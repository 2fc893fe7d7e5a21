"""`acquisition.csv` and `thumbnails.npz` made of `facts.jsonl`, line by line."""

from __future__ import annotations

import base64
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from secondread import tables
from secondread.outputs.whole import whole_output
from secondread.readings.reading import as_text
from secondread.readings.streamed.facts_file import FactsFile
from secondread.readings.table_reader import FACTS

SIDE = 16
_AT_ONCE = 256


def write_gathered(folder: Path) -> None:
    """Write both from all facts so far. Raises UserError for a full disk."""
    with FactsFile(folder / FACTS) as facts:
        names: set[str] = set()
        longest = 1
        for line in facts:
            names.update(line["facts"])
            longest = max(longest, len(line["path"]))
        with whole_output(folder / "acquisition.csv") as file:
            _acquisition(file, facts, sorted(names))
        with whole_output(folder / "thumbnails.npz") as file:
            _thumbnails(file, facts, longest)


def _acquisition(file: BinaryIO, facts: FactsFile, names: Sequence[str]) -> None:
    file.write(tables.line(["path", *names]).encode())
    for line in facts:
        told = line["facts"]
        file.write(tables.line([line["path"], *(as_text(told.get(name)) for name in names)]).encode())


def _thumbnails(file: BinaryIO, facts: FactsFile, longest: int) -> None:
    """As `numpy.savez_compressed` writes the arrays `paths` and `thumbnails`."""
    text = np.dtype(f"U{longest}")
    paths = (np.array([line["path"] for line in some], text) for some in _pieces(facts))
    pictures = (np.stack([_picture(line["thumbnail"]) for line in some]) for some in _pieces(facts))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        _array(archive, "paths", text, (len(facts),), paths)
        _array(archive, "thumbnails", np.dtype("<f4"), (len(facts), SIDE, SIDE), pictures)


def _pieces(facts: FactsFile) -> Iterator[list[dict[str, Any]]]:
    lines = iter(facts)
    while some := list(islice(lines, _AT_ONCE)):
        yield some


def _picture(text: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(SIDE, SIDE)


def _array(
    archive: zipfile.ZipFile,
    name: str,
    kind: np.dtype[np.generic],
    shape: tuple[int, ...],
    pieces: Iterable[NDArray[np.generic]],
) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        said = {"descr": npy.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(file, said)
        for piece in pieces:
            file.write(piece.tobytes())
