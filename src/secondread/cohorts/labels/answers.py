"""What a table says of each image: normal, or which findings; from one column of words or a column for each
finding, on one row or several."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from secondread.cohorts.labels.cell_numbers import number_in
from secondread.cohorts.labels.stored_rows import StoredRows
from secondread.cohorts.labels.table import LabelTable
from secondread.cohorts.labels.table_row import TableRow
from secondread.errors import UserError
from secondread.wording.lists import Counted, few
from secondread.wording.numbers import count

_SEVERAL = re.compile(r"[|;]")
_NAN = "nan"
"""What Python writes for an empty cell."""
_YES, _NO, _UNSURE = {"1", "true", "yes", "y"}, {"0", "false", "no", "n"}, {"-1", "uncertain", _NAN}
_OFTEN = {
    "normal": {"normal", "healthy", "negative", "neg", "no finding", "unremarkable", "control"},
    "not known": {"na", "n/a", "#n/a", "<na>", "nan", "null", "?", "-", "unknown", "missing"},
}
"""What people often mean by a word, in small letters."""


@dataclass(frozen=True)
class Answer:
    """The label (`normal`, `abnormal` or empty = not known) and the findings of one image."""

    label: str = ""
    findings: tuple[str, ...] = ()

    @property
    def finding(self) -> str:
        """The findings as a manifest has them."""
        return "; ".join(self.findings)


@dataclass(frozen=True)
class Answers:
    """The answer of each image of a table, and its rows.

    rows   all rows of an image, each once where the table repeats it
    notes  what a person should know (see `EachAnswer.notes`)
    """

    of: Mapping[str, Answer]
    rows: Mapping[str, tuple[TableRow, ...]]
    notes: tuple[str, ...] = ()


class EachAnswer:
    """What a table says of one image after the other, in the order of their first rows; gone through once.

    image_column     what tells the images apart; rows with one value are of one image
    label_column     holds the label in words or numbers. `normal` are the values that mean normal (whatever
                     case; numbers by their value), `unknown` those that mean not known, as an empty cell
                     does; every other is a finding, several in one cell are separated by `|` or `;`. A
                     number names a finding `class-3`, and none where it is the only other value
    finding_columns  instead of it: a column for each finding, that says 1 or 0 (or true, false, yes, no). −1
                     and an empty cell are not known. `normal` are those of the columns, or further ones, that
                     mean normal. An image with a 1 has these findings
    normal_where_none  an image whose columns are all 0 is normal; without it that takes a 1 in a column
                     `normal`, where one is given

    An image that one row calls normal and another abnormal has an empty label, and a line says how many these
    are. Raises UserError where a column is not there, nothing says what is normal, or a cell says something
    else.
    """

    def __init__(
        self,
        table: LabelTable,
        image_column: str,
        *,
        label_column: str = "",
        normal: Sequence[str] = (),
        unknown: Sequence[str] = (),
        finding_columns: Sequence[str] = (),
        normal_where_none: bool = False,
    ) -> None:
        if bool(label_column) == bool(finding_columns):
            raise UserError(
                f"{table.source}: say where labels are: in one column (--label-column), or in a column for "
                f"each finding (--label-columns); its columns are {few(table.columns, 20)}"
            )
        self._table, self._column = table, table.column(image_column)
        for row in table.rows:
            if not row[self._column]:
                raise UserError(
                    f"{table.source}, line {row.line}, column {self._column}: empty; it names the image"
                )
        self._said = (
            _Words(table, label_column, normal, unknown)
            if label_column
            else _Marks(table, finding_columns, normal, normal_where_none)
        )
        self._unsure, self._contradicted = Counted(), Counted()
        self._normal = False

    def __iter__(self) -> Iterator[tuple[str, tuple[TableRow, ...], Answer]]:
        """Image, its rows (each once where the table repeats it), and its answer."""
        for rows in _by_image(self._table, self._column):
            once: dict[tuple[str, ...], TableRow] = {}
            for row in rows:
                once.setdefault(row.cells, row)
            own, image = tuple(once.values()), rows[0][self._column]
            answer = self._combined(image, [self._said.answer(row) for row in own])
            self._normal |= answer.label == "normal"
            yield image, own, answer

    def together(self) -> Answers:
        """What the table says of each image, all at once."""
        found: dict[str, Answer] = {}
        rows: dict[str, tuple[TableRow, ...]] = {}
        for image, own, answer in self:
            found[image], rows[image] = answer, own
        return Answers(found, rows, self.notes())

    def notes(self) -> tuple[str, ...]:
        """What a person should know, once all were gone through: which values became findings, what was not
        sure. Raises UserError where no image is normal."""
        source, unsure, contradicted = self._table.source, self._unsure, self._contradicted
        notes = [*self._said.notes()]
        if unsure.count:
            notes.append(
                f"{source}: {count(unsure.count, 'image')} without a sure label, unlabelled: {unsure.few()}"
            )
        if contradicted.count:
            notes.append(
                f"{source}: {count(contradicted.count, 'image')} called both normal and abnormal, "
                f"unlabelled: {contradicted.few()}"
            )
        if not self._normal:
            raise UserError(f"{source}: no image is normal by what was said of it; {self._said.hint()}")
        return tuple(notes)

    def _combined(self, image: str, said: Sequence[Answer]) -> Answer:
        findings = tuple(dict.fromkeys(finding for answer in said for finding in answer.findings))
        labels = {answer.label for answer in said}
        if {"normal", "abnormal"} <= labels or any(answer.findings and not answer.label for answer in said):
            self._contradicted.add(image)
            return Answer()
        if "abnormal" in labels:
            return Answer("abnormal", findings)
        if labels == {"normal"}:
            return Answer("normal")
        self._unsure.add(image)
        return Answer()


def same(cell: str, values: Sequence[str]) -> bool:
    """Whether a cell says one of several values: the same text in whatever case, or the same number (`0.0`
    for `0`)."""
    if any(cell.strip().lower() == value.strip().lower() for value in values):
        return True
    number = _as_number(cell)
    return number is not None and any(number == _as_number(value) for value in values)


def _as_number(text: str) -> float | None:
    try:
        found = number_in(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _is_number(text: str) -> bool:
    return "," not in text and _as_number(text) is not None


class _Words:
    """One column of labels."""

    def __init__(self, table: LabelTable, column: str, normal: Sequence[str], unknown: Sequence[str]) -> None:
        self.source = table.source
        self.column = table.column(column)
        self.normal = [value for value in normal if value.strip()]
        self.unknown = unknown
        self.values: dict[str, int] = {}
        if not self.normal:
            held = _most_common(row[self.column] for row in table.rows)
            raise UserError(
                f"{table.source}: which value of column {self.column} means normal? say it with --normal; "
                f"it holds {held}"
            )
        self.two = self._is_two(row[self.column] for row in table.rows)

    def answer(self, row: TableRow) -> Answer:
        cell = row[self.column]
        if same(cell, self.normal):
            return Answer("normal")
        if same(cell, self.unknown):
            return Answer()
        parts = [part.strip() for part in _SEVERAL.split(cell) if part.strip()]
        values = list(dict.fromkeys(part for part in parts if not self._is_nothing(part)))
        for value in values:
            self.values[value] = self.values.get(value, 0) + 1
        if values:
            names = () if self.two else tuple(f"class-{v}" if _is_number(v) else v for v in values)
            return Answer("abnormal", names)
        return Answer("normal" if any(same(part, self.normal) for part in parts) else "")

    def _is_two(self, cells: Iterable[str]) -> bool:
        """Whether there is one other value than those that mean normal or nothing, and it means yes."""
        others: set[str] = set()
        for cell in cells:
            if not self._is_nothing(cell):
                others.add(cell.lower())
                if len(others) > 1:
                    return False
        return all(each in _YES or _is_number(each) for each in others) and bool(others)

    def _is_nothing(self, text: str) -> bool:
        return not text or same(text, self.normal) or same(text, self.unknown)

    def notes(self) -> Iterable[str]:
        if self.values:
            told = few([f"{name} ({number:,})" for name, number in _ranked(self.values)], 15)
            became = "mean abnormal" if self.two else "are findings"
            yield f"{self.source}: these values of column {self.column} {became}: {told}"
        for meaning, option in (("normal", "--normal"), ("not known", "--unlabelled")):
            words = [name for name, _ in _ranked(self.values) if name.lower() in _OFTEN[meaning]]
            if words:
                asked = " ".join(f"{option} {shlex.quote(word)}" for word in words)
                yield (
                    f"{self.source}: values of column {self.column} that often mean {meaning} were read as "
                    f"abnormal: {few(words)}; if they do here, add {asked}"
                )

    def hint(self) -> str:
        held = few([name for name, _ in _ranked(self.values)], 12)
        return f"no cell of column {self.column} is {' or '.join(self.normal)}; it holds {held or 'nothing'}"


class _Marks:
    """A column for each finding."""

    def __init__(
        self, table: LabelTable, columns: Sequence[str], normal: Sequence[str], normal_where_none: bool
    ) -> None:
        self.source = table.source
        self.normal = [table.column(name) for name in normal]
        self.columns = [name for name in dict.fromkeys(map(table.column, columns)) if name not in self.normal]
        self.where_none = normal_where_none or not self.normal

    def answer(self, row: TableRow) -> Answer:
        marks = {name: self._mark(row, name) for name in (*self.columns, *self.normal)}
        findings = tuple(name for name in self.columns if marks[name])
        is_normal = any(marks[name] for name in self.normal)
        if findings:
            return Answer("" if is_normal else "abnormal", findings)
        nothing = all(marks[name] is False for name in self.columns)
        if is_normal and not any(
            marks[name] is None and row[name].lower() not in ("", _NAN) for name in self.columns
        ):
            return Answer("normal")
        return Answer("normal" if self.where_none and nothing else "")

    def _mark(self, row: TableRow, column: str) -> bool | None:
        cell = row[column].lower()
        for words, meaning in ((_YES, True), (_NO, False), (_UNSURE, None)):
            if cell in words:
                return meaning
        if not cell:
            return None
        try:
            return {1.0: True, 0.0: False, -1.0: None}[number_in(cell)]
        except (ValueError, KeyError):
            raise UserError(
                f"{self.source}, line {row.line}, column {column}: {row[column]!r} is none of 1, 0, -1 or "
                "empty; name the columns that mark findings"
            ) from None

    def notes(self) -> Iterable[str]:
        means = f"a 1 in {' or '.join(self.normal)}" if self.normal else "0 in all of them"
        if self.normal and self.where_none:
            means += ", or 0 in all others"
        yield f"{self.source}: findings are {few(self.columns, 20)}; normal is {means}"

    def hint(self) -> str:
        return f"findings are {few(self.columns, 20)}; name the column that means normal with --normal"


def _by_image(table: LabelTable, column: str) -> Iterable[Sequence[TableRow]]:
    """The rows of one image after the other, in the table's order."""
    if isinstance(table.rows, StoredRows):
        return table.rows.by_cell(column)
    rows: dict[str, list[TableRow]] = {}
    for row in table.rows:
        rows.setdefault(row[column], []).append(row)
    return rows.values()


def _ranked(values: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(values.items(), key=lambda item: (-item[1], item[0]))


def _most_common(cells: Iterable[str]) -> str:
    counts: dict[str, int] = {}
    for cell in cells:
        if cell:
            counts[cell] = counts.get(cell, 0) + 1
    return few([name for name, _ in _ranked(counts)], 12) or "nothing"
