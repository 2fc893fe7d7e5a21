"""A reference to an image, and the bytes behind it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from secondread.images.image import ImageError
from secondread.images.kept_file import made_once
from secondread.images.limits import ReadLimits


@dataclass(frozen=True)
class Reference:
    """`path` or `path#member`, taken apart. `text` is what was written."""

    text: str
    path: Path
    member: str | None

    @classmethod
    def parse(cls, reference: str | Path) -> Reference:
        """Take a reference apart; a `#` that belongs to an existing path's name stays in the path.

        Raises ImageError where nothing lies at the path.
        """
        text = str(reference)
        whole = Path(text)
        try:
            if whole.exists():
                return cls(text, whole, None)
            path, mark, member = text.rpartition("#")
            if mark and Path(path).exists():
                return cls(text, Path(path), member)
        except (OSError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or "no file can have such a name"
            raise ImageError(text, f"not a path that can be opened ({why})") from error
        raise ImageError(text, "no such file or folder", _remedy(text))


def _remedy(text: str) -> str:
    """What may be wrong with a path where nothing lies."""
    folder, name = os.path.split(text)
    stem, ending = os.path.splitext(name)
    for other in (stem + ending.lower(), stem + ending.upper(), name.lower(), name.upper()):
        if other != name and os.path.exists(os.path.join(folder, other)):
            return f"there is {other}: write it with the same small and capital letters"
    if re.search(r"(^|/)~\w*/", text):
        return "~ is not followed here: write the whole path"
    if re.search("(^|/)[a-z]{2,}:/", text):
        return "an address is not followed: write the path of a file"
    if "\\" in text:
        return "write / in place of \\, and the path that the file has on this machine"
    return "check the path, and what it is relative to"


def read_bytes(path: Path, limits: ReadLimits) -> bytes:
    """The whole file, after a look at its size. Raises ImageError."""
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ImageError(str(path), "not a regular file")
        limits.check_bytes(str(path), size)
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(str(path), f"cannot be read ({error.strerror or error})") from error
    if not data:
        raise ImageError(str(path), "the file is empty (0 bytes)", "copy or export it again")
    return data


def digest_of(data: bytes | memoryview) -> str:
    """Hex BLAKE2b-160 of one file's bytes."""
    return made_once(data, "digest", lambda: hashlib.blake2b(data, digest_size=20).hexdigest())


def digest_of_parts(digests: Iterable[str]) -> str:
    """Hex BLAKE2b-160 of several files' digests, in order."""
    together = hashlib.blake2b(digest_size=20)
    for digest in digests:
        together.update(bytes.fromhex(digest))
    return together.hexdigest()


def member_number(reference: Reference, group: str) -> int:
    """N of a member written `group/N` (`frame/3`). Raises ImageError for anything else."""
    name, _, number = (reference.member or "").partition("/")
    if name != group or not number.isdecimal():
        raise ImageError(
            reference.text, f"'#{reference.member}' names nothing in this file", f"write #{group}/N, N from 0"
        )
    return int(number)
