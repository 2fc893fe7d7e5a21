"""The columns of a manifest, and other spellings under which people keep them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secondread.errors import UserError
from secondread.tables import OF_IMAGES, plain_name

COLUMNS = ("path", "split", "label", "finding", "patient_id", "study_id", "mask")
SPLITS = ("train", "validation", "test", "")
LABELS = ("normal", "abnormal", "")

_TELLING = {
    "split": {*SPLITS, "training", "val", "valid", "testing"} - {""},
    "label": {*LABELS} - {""},
}


def refuse_other_length(source: str, line: int, cells: Sequence[str], written: Sequence[str]) -> None:
    """UserError for a line that has not as many cells as the header."""
    if len(cells) != len(written):
        raise UserError(
            f"{source}, line {line}: {len(cells)} cells where the header has {len(written)} columns; "
            "quote cells that contain commas, and fill every column"
        )


@dataclass(frozen=True)
class Header:
    """The names of a table's columns as the manifest has them, and what a person should know about them.

    `written` are the names as the file has them; `mapped` names the project's columns among `names` that the
    file spells in another way.
    """

    written: tuple[str, ...]
    names: tuple[str, ...]
    mapped: Mapping[str, str]

    @classmethod
    def of(cls, source: str, written: Sequence[str]) -> Header:
        """A column in another spelling (`PatientID`, `Split`) is taken for the project's own, where that is
        not there itself. Raises UserError where several could be meant."""
        names = list(written)
        mapped: dict[str, str] = {}
        for column in COLUMNS:
            spellings = OF_IMAGES[column]
            if column in written:
                continue
            alike = [name for name in written if plain_name(name) in spellings]
            if len(alike) > 1:
                raise UserError(
                    f"{source}, line 1: columns {' and '.join(alike)} both look like {column}; "
                    f"name the right one {column}"
                )
            if alike:
                names[names.index(alike[0])] = column
                mapped[column] = alike[0]
        return cls(tuple(written), tuple(names), mapped)

    def as_written(self, column: str) -> str:
        """How the file calls a column, with what it is taken for where that differs."""
        return f"{self.mapped[column]} (read as {column})" if column in self.mapped else column

    def notes(self, source: str, further: Mapping[str, set[str]]) -> tuple[str, ...]:
        """Which columns were taken for others, and which further ones look like one that is missing.
        `further` are the values, in lower case, of each other column."""
        said = [f"{source}: column {name} is read as {column}" for column, name in self.mapped.items()]
        for column, telling in _TELLING.items():
            if column in self.names:
                continue
            for name, values in further.items():
                found = values - {""}
                if len(found) > 1 and found <= telling:
                    words = ", ".join(sorted(found))
                    said.append(
                        f"{source}: column {name} says {words}, and no column is called {column}; "
                        f"rename it to {column} if that is what it means"
                    )
        return tuple(said)
