"""The files of a folder that may be images, links followed, each folder once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from secondread.cohorts.labels.box_masks import MASKS
from secondread.cohorts.listing.set_aside import SetAside
from secondread.outputs.folders import made_by

TABLES = (".csv", ".tsv", ".xls", ".xlsm", ".xlsx", ".parquet", ".pq")
_NEVER_IMAGES = {
    *TABLES,
    *(".css", ".doc", ".docx", ".gz.md5", ".html", ".ipynb", ".js", ".json", ".key", ".log", ".md"),
    *(".pdf", ".py", ".rst", ".sh", ".toml", ".txt"),
    *(".xml", ".yaml", ".yml"),
}
_NEVER_IMAGE_NAMES = {"DICOMDIR", "LICENSE", "LICENCE", "README", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Tree:
    """Paths relative to the base, `/` between folders, and the folders that were passed over, with why."""

    files: list[str]
    aside: list[SetAside]


def tree_of(base: Path) -> Tree:
    """All files below a folder that may be images; hidden ones are skipped.

    What commands of this package wrote into folders of their own is passed over, and said. Linked folders
    are followed. A folder that is reached in several ways is listed once, under its own place
    where that is below the base; the other ways, and links to a folder that holds the link, are set aside,
    and so is a folder that cannot be listed.
    """
    aside: list[SetAside] = []
    return Tree(list(walk(base, aside)), aside)


def walk(base: Path, aside: list[SetAside]) -> Iterator[str]:
    """The files of `tree_of` one after the other; what is passed over is added to `aside`."""
    walked = _Walked(base, aside)

    def unlisted(error: OSError) -> None:
        path = PurePosixPath(os.path.relpath(error.filename, base)).as_posix()
        reason = f"a folder that cannot be listed ({error.strerror})"
        walked.aside.append(SetAside(path, reason, unreadable=True))

    for folder, folders, names in os.walk(base, followlinks=True, onerror=unlisted):
        folders[:] = [
            name for name in sorted(folders) if not _is_hidden(name) and walked.enters(folder, name)
        ]
        place = Path(folder).relative_to(base).as_posix()
        for name in sorted(names):
            skipped = (
                name.startswith(".")
                or name in _NEVER_IMAGE_NAMES
                or PurePosixPath(name).suffix.lower() in _NEVER_IMAGES
            )
            if not skipped:
                yield name if place == "." else f"{place}/{name}"


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))


class _Walked:
    """Which folders were entered, by their real places."""

    def __init__(self, base: Path, aside: list[SetAside]) -> None:
        self.base = base
        self.aside = aside
        self.places: dict[Path, str] = {base: "."}

    def enters(self, folder: str, name: str) -> bool:
        """Whether the walk goes on into a folder; what it does not enter is set aside."""
        path = Path(folder, name)
        written = path.relative_to(self.base).as_posix()
        real = path.resolve()
        if path.is_symlink():
            if Path(folder).resolve().is_relative_to(real):
                return self._leave(written, "a link to a folder that holds it: not followed")
            if real.is_relative_to(self.base) and not any(map(_is_hidden, real.relative_to(self.base).parts)):
                there = real.relative_to(self.base).as_posix()
                return self._leave(written, f"a link to {there}, which is listed there")
        if real in self.places:
            return self._leave(written, f"the same folder as {self.places[real]}, and listed there")
        if path.suffix == MASKS and path.with_suffix(".csv").is_file():
            return self._leave(written, f"masks of the boxes of {path.stem}.csv")
        if (command := made_by(path)) is not None:
            return self._leave(written, f"the output of `{command}`, whose pictures are no images to read")
        self.places[real] = written
        return True

    def _leave(self, written: str, reason: str) -> bool:
        printable = written.encode("utf-8", "backslashreplace").decode()
        self.aside.append(SetAside(printable, reason))
        return False
