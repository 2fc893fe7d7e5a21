"""What encoding a table that is not UTF-8 seems to have, and how to make UTF-8 of it."""

from __future__ import annotations

import codecs
import shlex
from pathlib import Path

_LOOKED_AT = 1 << 18
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""What a file in these encodings begins with; the longer marks first, since one begins as another does."""
_MOST_SHOWN = 40
_IN_USE = (
    *("utf_8", "utf_16", "utf_32", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256"),
    *("cp1257", "koi8_r", "mac_roman", "cp437", "cp850", "gb18030", "big5", "cp932", "euc_jp", "cp949"),
)
"""What hospitals' tables come in. In a short text a rare encoding is as likely by its letters alone."""
_LATIN = ("cp1254", "cp1257", "mac_roman", "cp437", "cp850")


def marked_encoding(start: bytes) -> str:
    """The encoding that a file's first bytes name, `utf-8-sig` (UTF-8 with or without a mark) where none."""
    return next((name for mark, name in _MARKS if start.startswith(mark)), "utf-8-sig")


def not_utf8(path: Path) -> str:
    """What to say of a table that is not UTF-8: the encoding that it looks like, a line of it as it would be
    read then, and the command that converts it.

    The encodings of one byte a letter differ in few letters. So the guess is one, and the line that is shown
    lets a person judge it.
    """
    from charset_normalizer import from_bytes

    with path.open("rb") as stream:
        data = stream.read(_LOOKED_AT)
    best = from_bytes(data, cp_isolation=list(_IN_USE)).best()
    found = _unmarked(data) or ("" if best is None else best.encoding)
    if b"\0" in data and not found.startswith("utf_16") and not found.startswith("utf_32"):
        return f"{path}: no text (it has bytes of value 0); save it as CSV in UTF-8"
    if not found:
        return f"{path}: not UTF-8 text, nor text in an encoding that is known; save it as CSV in UTF-8"
    encoding = codecs.lookup(_western(data, found)).name
    target = path.with_name(f"{path.stem}-utf8{path.suffix}")
    convert = f"iconv -f {encoding} -t utf-8 {shlex.quote(str(path))} > {shlex.quote(str(target))}"
    return (
        f"{path}: not UTF-8 text; it looks like {encoding}{_example(data, encoding)}; convert it "
        f"(`{convert}`) or save it as CSV in UTF-8"
    )


def _unmarked(data: bytes) -> str:
    """UTF-16 that does not say so, told by the zeros on one side of each letter; "" for anything else."""
    if marked_encoding(data) != "utf-8-sig":
        return ""
    first, second = data[::2].count(0), data[1::2].count(0)
    if not max(first, second) > len(data) // 4 or min(first, second):
        return ""
    return "utf_16_le" if second else "utf_16_be"


def _western(data: bytes, encoding: str) -> str:
    """Windows' Western code page in place of another for Latin letters, where it makes letters of all bytes
    beyond ASCII: it is far more common, and little in a short text tells these apart. The Central European
    one stays where the two differ in a letter."""
    if encoding not in ("cp1250", *_LATIN):
        return encoding
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return encoding
    if encoding == "cp1250":
        return "cp1252" if text == data.decode(encoding) else encoding
    return "cp1252" if all(letter.isascii() or letter.isalpha() for letter in text) else encoding


def _example(data: bytes, encoding: str) -> str:
    """The first line with a letter beyond ASCII, as it is read in this encoding."""
    for number, line in enumerate(data.decode(encoding, "replace").splitlines(), start=1):
        if not line.isascii():
            text = "".join(letter if letter.isprintable() else " " for letter in line)
            return f" (line {number} would read {' '.join(text.split())[:_MOST_SHOWN]!r})"
    return ""
