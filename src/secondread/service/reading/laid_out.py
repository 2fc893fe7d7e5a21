"""A study's instances as a folder that `score` reads: a folder for each series, hard links to the spool."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from secondread.errors import DataError
from secondread.readings.inputs import Inputs, gather
from secondread.service.spool.files import Spool
from secondread.service.store.tables import Instance

SOURCE = ".source"
"""Within the folder of a reading, while it is made."""


_OF_COMMANDS = ("; index with --as images", "; leave it out of the manifest")


def for_readers(told: str) -> str:
    """What is said of an image, without what only somebody at the command line could do about it."""
    for advice in _OF_COMMANDS:
        told = told.replace(advice, "")
    return told


@dataclass(frozen=True)
class LaidOut:
    """folder  that holds the files
    files   path below it -> the instance that it is"""

    folder: Path
    files: dict[str, Instance]

    def inputs(self, rank: int, study: str) -> Inputs:
        """The images, as `score` lists those of a folder; each belongs to the study. Raises UserError where
        all are set apart (localisers, derived), DataError where none can be read, which name no place."""
        try:
            found = gather([str(self.folder)], workers=0, rank=rank)
        except Exception as error:
            if len(error.args) == 1 and isinstance(error.args[0], str):
                told = error.args[0].replace(f"{self.folder}: ", "").replace(f"{self.folder}/", "")
                error.args = (for_readers(told),)
            raise
        items = tuple(
            replace(item, path=os.path.relpath(item.path, self.folder), study_id=study, patient_id="")
            for item in found.items
        )
        return replace(found, items=items, base=str(self.folder), key_mark=None)

    def instances(self, path: str) -> list[Instance]:
        """What an image was read from: a file, a frame of one (`FILE#frame/2`), or a series (`FOLDER#…`)."""
        base = path if path in self.files else path.rpartition("#")[0]
        if base in self.files:
            return [self.files[base]]
        return [one for name, one in self.files.items() if name.startswith(f"{base or path}/")]


@contextmanager
def laid_out(spool: Spool, instances: Sequence[Instance], within: Path) -> Iterator[LaidOut]:
    """The folder, for the block: names follow from the order of UIDs and hold none. Raises DataError where a
    file is not in the spool any more."""
    folder = within / SOURCE
    files: dict[str, Instance] = {}
    series: dict[str, int] = {}
    try:
        for one in sorted(instances, key=lambda one: (one.series_uid, one.sop_instance_uid)):
            number = series.setdefault(one.series_uid, len(series) + 1)
            name = f"series-{number:03}/{len(files) + 1:05}.dcm"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(spool.path_of(one.path), folder / name)
            except FileNotFoundError:
                raise DataError("an image is not in the spool any more; send the study again") from None
            files[name] = one
        yield LaidOut(folder, files)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
