"""The CSV of every table that is written and read: any text comes back as it was, and none runs as a formula.

UTF-8, commas, lines that end in a line feed, cells quoted where they must be. Beyond that one rule, about
apostrophes at a cell's beginning:

- A text that begins with `=`, `+`, `-`, `@` (or their wide forms) or with white space, and is no number, gets
  an apostrophe in front. A spreadsheet then shows it as text. Numbers such as `-0.5` stay as they are.
- A text with bytes that are not UTF-8, as file names may have, is written `'%` and then itself, with these
  bytes and `%` as in a URL (`'%caf%E9.png`).
- A text that looks as if it were written by these two rules already (apostrophes, then such a beginning or
  `%`) gets an apostrophe as well, so that reading takes away just what writing has added.

Reading undoes this, and takes all other cells as they are, so tables of other programs are read as usual.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import unquote_to_bytes

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-](inf|nan)")
_ESCAPED = re.compile(r"'*[\s\ufeff=+\-@＝＋－＠]|'+%")
_APART = "\0"
_TO_ESCAPE = re.compile(rf"{_APART}(?!(?:{_NUMBER.pattern})(?:{_APART}|\Z))(?:{_ESCAPED.pattern})")
_LIST = ";"
OF_IMAGES = {
    "path": {"path"},
    "split": {"split", "splits"},
    "label": {"label", "labels"},
    "finding": {"finding", "findings"},
    "patient_id": {"patientid", "patient", "patientids", "subjectid", "subject"},
    "study_id": {"studyid", "studyids", "studyuid", "studyinstanceuid", "accessionnumber"},
    "mask": {"mask", "masks", "maskpath"},
    "fold": {"fold"},
    "pool": {"pool"},
    "pool_order": {"poolorder"},
}
"""The columns of a table of images, and how people spell them, in small letters and digits alone."""


def plain_name(name: str) -> str:
    """A column's name in small letters and digits alone, as `OF_IMAGES` has them."""
    return re.sub(r"[\W_]", "", name.lower())


def line(cells: Iterable[str]) -> str:
    """One line of a table, with its end."""
    texts = list(cells)
    if not as_written(texts):
        texts = [cell_of(text) for text in texts]
    return _joined(texts, ",") + "\n"


def lines(columns: Sequence[Sequence[str]]) -> str:
    """`line` of each row of a table that is given by its columns, of one length above nothing: one text, in a
    fraction of the time."""
    cells = [_cells(column) for column in columns]
    if len(cells) == 1:
        cells = [[cell or '""' for cell in cells[0]]]
    return "\n".join(map(",".join, zip(*cells, strict=True))) + "\n"


def as_written(texts: Sequence[str]) -> bool:
    """Whether `cell_of` changes none of these texts, told of all at once; False where that takes a look at
    each."""
    together = _APART + _APART.join(texts)
    return together.count(_APART) == len(texts) and _is_utf8(together) and not _TO_ESCAPE.search(together)


def line_with_list(cells: Iterable[str], texts: Iterable[str]) -> Iterator[str]:
    """`line([*cells, joined(texts)])` in pieces, for more texts than memory holds. `texts` gives the same
    each of the two times that it is looked through."""
    first, parts, utf8, quoted = "", 0, True, False
    for part in _parts(texts):
        first, parts = first if parts else part, parts + 1
        utf8 = utf8 and _is_utf8(part)
        quoted = quoted or _needs_quotes(part, ",")
    if parts < 2:
        yield line([*cells, joined(list(texts))])
        return
    mark = '"' if quoted else ""
    yield "".join(f"{_quoted(cell_of(cell), ',')}," for cell in cells) + mark
    yield "'%" if not utf8 else "'" if _ESCAPED.match(first + _LIST) else ""
    for part in _parts(texts):
        yield (part if utf8 else "".join(map(_percent, part))).replace('"', '""')
    yield f"{mark}\n"


def table(rows: Iterable[Iterable[str]]) -> str:
    """A whole table."""
    return "".join(line(row) for row in rows)


def read(lines: Iterable[str], *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """The line number at which each row ends, from 1, and its cells; empty lines are passed over.

    `lines` is a stream that was opened with `newline=""`. Raises csv.Error where it is not CSV; `strict`
    minds quotes that are never closed too.
    """
    reader = csv.reader(lines, strict=strict)
    for row in reader:
        together = "".join(row)
        if together.strip():
            yield reader.line_num, [text_of(cell) for cell in row] if "'" in together else row


def read_text(text: str) -> list[list[str]]:
    """The rows of a whole table."""
    return [row for _, row in read(io.StringIO(text, newline=""))]


def joined(texts: Sequence[str]) -> str:
    """Several texts for one cell, with `;` between them; a text that holds one is quoted."""
    return _joined(texts, _LIST)


def parted(cell: str) -> list[str]:
    """The texts that `joined` put into a cell."""
    return next(csv.reader(io.StringIO(cell, newline=""), delimiter=_LIST), [])


def cell_of(text: str) -> str:
    """A text as it stands in a table, before quoting."""
    if not _is_utf8(text):
        return "'%" + "".join(_percent(letter) for letter in text)
    if _ESCAPED.match(text) and not _NUMBER.fullmatch(text):
        return "'" + text
    return text


def text_of(cell: str) -> str:
    """What `cell_of` made a cell of."""
    if cell.startswith("'%"):
        return unquote_to_bytes(cell[2:]).decode("utf-8", "surrogateescape")
    return cell[1:] if cell.startswith("'") and _ESCAPED.match(cell[1:]) else cell


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parts(texts: Iterable[str]) -> Iterator[str]:
    """What `joined` puts one after the other."""
    return (f"{_LIST if number else ''}{_quoted(text, _LIST)}" for number, text in enumerate(texts))


def _percent(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":
        return f"%{ord(letter) - 0xDC00:02X}"
    if letter == "%" or "\ud800" <= letter <= "\udfff":
        return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))
    return letter


def _joined(cells: Sequence[str], delimiter: str) -> str:
    """As RFC 4180 has it. Python's writer leaves a carriage return bare unless lines end with one."""
    if len(cells) == 1 and not cells[0]:
        return '""'
    if not _needs_quotes("".join(cells), delimiter):
        return delimiter.join(cells)
    return delimiter.join(_quoted(cell, delimiter) for cell in cells)


def _cells(column: Sequence[str]) -> Sequence[str]:
    """The cells of one column, each as it stands in a line."""
    quoted = _needs_quotes("".join(column), ",")
    if as_written(column):
        return [_quoted(cell, ",") for cell in column] if quoted else column
    return [_quoted(cell_of(cell), ",") for cell in column]


def _quoted(cell: str, delimiter: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if _needs_quotes(cell, delimiter) else cell


def _needs_quotes(text: str, delimiter: str) -> bool:
    return delimiter in text or '"' in text or "\n" in text or "\r" in text
