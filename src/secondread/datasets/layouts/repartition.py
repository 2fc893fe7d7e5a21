"""A published list of which image plays which part, applied to the rows of a data set.

Its form is that of `index --split-file`. The DDAD authors and MedIAnomaly publish one for RSNA, VinDr-CXR,
Brain Tumor MRI and LAG, beside a folder of images that they prepared (caiyu6666/DDAD-ASR: data/README.md;
caiyu6666/DDAD: README.md; caiyu6666/MedIAnomaly: README.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from secondread.cohorts.listing.split_file import Listed, SplitFile
from secondread.cohorts.row import Row
from secondread.datasets.public_folder import Form, PublicFolder
from secondread.outputs.temporary_database import TemporaryDatabase
from secondread.wording.numbers import count

LIST = "data.json"
PREPARED = Form("prepared by the DDAD authors", ("images|train_png_512", LIST))
"""Images of 512 pixels and their list, in one folder."""


def rows_of_images(folder: PublicFolder) -> list[Row]:
    """The images of a folder that the DDAD authors prepared; the list says what each is."""
    return [Row(path) for path in folder.images("images|train_png_512")]


def own_list(folder: PublicFolder) -> Path | None:
    """The list that lies in a folder of this form."""
    return folder.root / LIST if folder.form == PREPARED.name else None


def placed(rows: Sequence[Row], listed: Path, root: Path) -> tuple[list[Row], list[str], list[str]]:
    """The rows that the list names, placed as it says; what a person should know; and the names in it that
    no file has. A finding and a mask stay where the set's own label is that of the list, or says nothing."""
    by_path = {row.path: row for row in rows}
    with closing(TemporaryDatabase("which files are listed")) as database:
        found = SplitFile.read(listed).find(by_path, root, database)
        kept = [_placed(by_path[path], each) for path, each in found.files.items()]
        other = [path for path, each in found.files.items() if by_path[path].label not in ("", each.label)]
        notes = list(found.remarks(root))
    if other:
        notes.append(
            f"{count(len(other), 'image has', 'images have')} another label in {listed.name} than in "
            f"the set's own files; the list's is taken, for instance for {other[0]}"
        )
    return kept, notes, list(found.missing)


def _placed(row: Row, each: Listed) -> Row:
    own = row if row.label in ("", each.label) else replace(row, mask="", finding="")
    return replace(each.placed(own), finding=own.finding)
